"""A small folder of data of one's own: grey pictures, five points, scheme.yaml."""

import numpy as np
import yaml
from PIL import Image

from study.datasets.own import coco, scheme as schemes, table
from study.standin import own as sample

FIVE = sample.SCHEME
POINTS = np.array([[20.5, 20.25], [40, 21], [30, 30.125], [22, 40], [39, 41]])
ROWS = [
    ("a.png", "train", POINTS),
    ("deep/b.png", "train", POINTS + 1),
    ("c.png", "test", np.where(np.arange(5)[:, None] == 2, np.nan, POINTS)),
]
WRITERS = {"csv": table.write, "coco": coco.write}


def put(root, rows=ROWS, scheme=FIVE, form="csv"):
    """A folder of one's own: grey pictures of 80x60 px, the points, the scheme."""
    for image in dict.fromkeys(row[0] for row in rows):
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 60), (90, 90, 90)).save(root / image)
    schemes.write(root, scheme)
    WRITERS[form](root, scheme, rows)
    return root


def settle(root, **changed):
    """Changes keys of scheme.yaml; None removes one."""
    file = root / schemes.FILE
    values = {**yaml.safe_load(file.read_text()), **changed}
    values = {key: value for key, value in values.items() if value is not None}
    file.write_text(yaml.safe_dump(values))
