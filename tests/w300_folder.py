"""Small invented folders in 300W's official layout."""

import numpy as np
from PIL import Image

from study.datasets.formats import write_pts

FACES = {  # folder -> names; two faces of one photograph in afw and in helen
    "afw": ["134212_1", "134212_2", "1051618982_1"],
    "helen/trainset": ["100032540_1", "100040721_1", "100040721_2"],
    "lfpw/trainset": ["image_0001", "image_0002"],
    "helen/testset": ["30427236_1"],
    "lfpw/testset": ["image_0001"],
    "ibug": ["image_092", "image_092_02", "image_003_1"],
}
WIDTH, HEIGHT = 90, 70


def invented_points(seed=0, width=WIDTH, height=HEIGHT):
    """(68, 2) px, strewn over the middle of an image; the eye corners stand apart."""
    points = np.random.default_rng(seed).uniform(0.25, 0.75, (68, 2)) * [width, height]
    points[[36, 45]] = [[0.3 * width, 0.4 * height], [0.7 * width, 0.4 * height]]
    return points


def invented_image(seed=0, width=WIDTH, height=HEIGHT):
    """An image of noise, so that its file is long enough to be cut off in the middle."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def write_face(root, folder, name, *, seed=0, suffix=".jpg"):
    """Writes an image and its points; returns the two paths."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    image, annotation = root / folder / f"{name}{suffix}", root / folder / f"{name}.pts"
    invented_image(seed).save(image)
    write_pts(annotation, invented_points(seed))
    return image, annotation


def write_w300(root, faces=FACES):
    """Writes a whole folder: .png in lfpw, as officially, .jpg elsewhere."""
    names = [(folder, name) for folder, folder_names in faces.items() for name in folder_names]
    for seed, (folder, name) in enumerate(names):
        suffix = ".png" if folder.startswith("lfpw") else ".jpg"
        write_face(root, folder, name, seed=seed, suffix=suffix)
    return root


def cut_off(path):
    """Truncates a file to half."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
