"""Which settings run is known without torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("method", ["refam", "cross-attention", "vlsam", "decaf", "ensemble"])
def test_the_settings_of_a_method_are_resolved_without_torch(method: str) -> None:
    code = (
        "import sys; from groundkit.pipelines.resolve import readings_for, resolve; "
        f"resolve({method!r}, {{}}, readings_for({method!r}, 'nano')); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
