"""Pictures inside the page: drawings as small SVG, rendered faces as WebP, each with its texts."""

import base64
import contextlib
import io
import re
from urllib.parse import quote

import markupsafe
from PIL import Image

from study import figures
from study.page import captions

WIDTH = 1100  # px: the widest picture of faces
QUALITY = 80  # of WebP
SMALL = 560  # px: a drawing that a phone shows whole
# Left as they are in a data URI; the rest is written as %xx.
PLAIN = " !$&'()*+,-./:;=?@[]^_`{|}~"
# `tabindex` lets a keyboard scroll the box where the screen is narrower than the figure.
HTML = markupsafe.Markup(
    '<figure id="figure-{name}"><div class="picture{kind}" tabindex="0" role="group" '
    'aria-label="{alt}"><img src="{source}" alt="{alt}" width="{width}" height="{height}"></div>'
    "<figcaption>{caption}</figcaption></figure>"
)


def figure(profile, name):
    """A <figure> with the whole picture inside it; "" where it has not been made.

    Args:
        profile: name of the profile.
        name: a key of `captions.FIGURES`.
    """
    faces = name in captions.WITH_FACES
    file = figures.folder(profile, faces) / f"{name}.{'png' if faces else 'svg'}"
    if not file.exists():
        return markupsafe.Markup("")
    source, size = photo(file.read_bytes()) if faces else drawing(file.read_text("utf-8"))
    shown = captions.FIGURES[name]
    return HTML.format(
        name=name,
        kind=" faces" if faces else " small" if size[0] <= SMALL else "",
        alt=shown.alt,
        caption=shown.caption,
        source=markupsafe.Markup(source),
        width=size[0],
        height=size[1],
    )


def drawing(svg):
    """An SVG of matplotlib as a data URI, and its size in px.

    Coordinates keep two decimals, a fiftieth of what an eye tells apart; comments, metadata and
    line breaks go.
    """
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(?<= )(?:d|x|y|points)="[^"]*"', _rounded, svg)
    svg = re.sub(r"(?<=translate\()[^)]*", _rounded, svg)
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    if "'" in svg:
        raise ValueError("an SVG with ' in it: it would end its own attributes")
    size = [round(float(n) * 4 / 3) for n in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2]]
    return f"data:image/svg+xml,{quote(svg.replace(chr(34), chr(39)), safe=PLAIN)}", size


def _rounded(match):
    """Numbers of a matched text to two decimals."""
    return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{round(float(found[0]), 2):g}", match[0])


def photo(png):
    """A PNG as a WebP data URI, no wider than WIDTH, and its size in px."""
    with contextlib.closing(Image.open(io.BytesIO(png))) as picture:
        picture = picture.convert("RGB")
        if picture.width > WIDTH:
            height = round(picture.height * WIDTH / picture.width)
            picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=QUALITY, method=6)
    data = base64.b64encode(out.getvalue()).decode()
    return f"data:image/webp;base64,{data}", picture.size
