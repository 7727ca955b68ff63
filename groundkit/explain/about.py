"""What a picture of the steps says of the run: the method, its model, how sure it is, and every setting."""

from __future__ import annotations

from PIL import Image, ImageDraw

from groundkit.explain.tiles import FAINT, GROUND, INK, INNER, MARGIN, WIDTH
from groundkit.outputs.drawing import fit_text, text_width
from groundkit.outputs.letters import font
from groundkit.results import Grounding
from groundkit.settings import as_text

_LINE = 24  # pixels


def about(grounding: Grounding) -> str:
    """``refam, nano, 0.3 s, evidence 0.57, mask 0.98``."""
    parts = [grounding.pipeline, grounding.model, f"{grounding.seconds:.1f} s"]
    if grounding.evidence is not None:
        parts.append(f"evidence {grounding.evidence.score:.2f}")
    if len(grounding.scores):
        parts.append(f"mask {grounding.scores.max():.2f}")
    return ", ".join(parts)


def draw_settings(grounding: Grounding) -> Image.Image:
    """Every setting as it ran, by where it comes from, defaults last; nothing for a result that does not know them."""
    face = font(17)
    lines: list[str] = []
    origins = [grounding.origins.get(name, "default") for name in grounding.settings]
    for origin in sorted(set(origins), key=lambda each: (each == "default", origins.index(each))):
        lines.append(f"{origin}:")
        for name, value in grounding.settings.items():
            if grounding.origins.get(name, "default") == origin:
                text = fit_text(f"{name}={as_text(value)}", face, INNER)
                longer = f"{lines[-1]}   {text}"
                if text_width(longer, face) <= INNER:
                    lines[-1] = longer
                else:
                    lines.append(text)
    if not lines:
        return Image.new("RGB", (WIDTH, 0), GROUND)
    section = Image.new("RGB", (WIDTH, 40 + _LINE * len(lines)), GROUND)
    brush = ImageDraw.Draw(section)
    brush.text((MARGIN, 0), "Settings that ran", font=font(22, bold=True), fill=INK)
    for number, line in enumerate(lines):
        brush.text((MARGIN, 36 + _LINE * number), line, font=face, fill=FAINT)
    return section
