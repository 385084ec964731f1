"""Picture sheets: rows of pictures under their titles, as PNG."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from counterfactory.errors import CounterfactoryError

if TYPE_CHECKING:
    from torch import Tensor

_CELL, _GAP, _TEXT = 96, 4, 14  # smallest side of a picture on the sheet, space between, height of the text; in pixels


def sheet(rows: Mapping[str, "Tensor"]) -> bytes:
    """Rows of pictures [n, c, h, w] in [0, 1] under their titles, as PNG; small ones are enlarged, pixel by pixel.

    Raises:
        CounterfactoryError: rows of different numbers or sizes, or pictures that have neither 1, 3 nor 4 channels.
    """
    from PIL import Image, ImageDraw, ImageFont

    shapes = {tuple(pictures.shape) for pictures in rows.values()}
    if len(shapes) != 1 or next(iter(shapes))[1] not in (1, 3, 4):
        raise CounterfactoryError(
            "these pictures make no sheet",
            given=sorted(shapes),
            expected="rows of one shape [n, 1 or 3 or 4, h, w]",
            hint="take as many of each",
        )
    n, channels, height, width = next(iter(shapes))
    factor = max(1, -(-_CELL // max(height, width)))
    high, wide = height * factor, width * factor
    step = _TEXT + _GAP + high + _GAP
    canvas = Image.new("RGB", (_GAP + n * (wide + _GAP), _GAP + len(rows) * step), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT - 2)
    for row, (title, pictures) in enumerate(rows.items()):
        top = _GAP + row * step
        draw.text((_GAP, top), title, fill="black", font=font)
        pixels = (pictures.detach().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for i, picture in enumerate(pixels):
            image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
            enlarged = image.convert("RGB").resize((wide, high), Image.Resampling.NEAREST)
            canvas.paste(enlarged, (_GAP + i * (wide + _GAP), top + _TEXT + _GAP))
    png = BytesIO()
    canvas.save(png, "PNG")
    return png.getvalue()


def picture_path(out: Path) -> Path:
    """`out`, or the error that says which name is expected; checked before any work is done."""
    if out.suffix.lower() != ".png":
        raise CounterfactoryError(
            "the sheet is a PNG picture",
            given=str(out),
            expected="a name that ends in .png",
            hint=f"--out {out.with_suffix('.png')}",
        )
    return out
