"""Trackers by name."""

from __future__ import annotations

from groundkit import clock
from groundkit.memory import explain_out_of_memory
from groundkit.segmenters.base import Segmenter
from groundkit.tracking.base import Tracker


@explain_out_of_memory()
@clock.timed("loading")
def load_tracker(name: str, segmenter: Segmenter, *, device: str = "auto", local_files_only: bool = False) -> Tracker:
    """``flow``, optical flow that redraws with ``segmenter``; or a SAM 2 or EdgeTAM by its Hub id, alias or
    folder, which runs in the dtype of the segmenter.

    Raises:
        ModelError: something that cannot be loaded.
    """
    if name == "flow":
        from groundkit.tracking.optical_flow import OpticalFlowTracker

        return OpticalFlowTracker(segmenter)
    from groundkit.models.devices import choose_device
    from groundkit.models.options import LoadOptions
    from groundkit.tracking.sam2 import Sam2Tracker
    from groundkit.weights.catalog import full_name

    place, dtype = choose_device(device), getattr(segmenter, "dtype", LoadOptions.dtype)
    options = LoadOptions(device=place, dtype=dtype, local_files_only=local_files_only)
    return Sam2Tracker.from_pretrained(name, options)
    options = LoadOptions(device=choose_device(device), local_files_only=local_files_only)
    return Sam2Tracker.from_pretrained(full_name(name), options)
