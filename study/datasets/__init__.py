"""Data sets, official ones and one's own, read from their folders into one tidy index."""

from study.datasets import aflw, own, talking_face, w300, w300vw

# Name -> module with NAME, SCHEME, FOLDERS, read, scan, folder_of, absent.
READERS = {module.NAME: module for module in (w300, aflw, w300vw, talking_face, own)}
OWN = own.NAME


def load(name, root):
    """Index of a data set, one row a face.

    Args:
        name: a key of READERS, e.g. "300W".
        root: the data set's official folder.

    Returns:
        pandas.DataFrame with the columns that `study.datasets.index` describes.

    Raises:
        ValueError: an unknown name.
        DatasetError: lists every bad file at once. Images are not decoded here: one that is
            damaged past its header is found by `crops.build` and `check.check`.
    """
    return reader(name).read(root)


def reader(name):
    """The module that reads a data set, by the data set's name."""
    if name not in READERS:
        raise ValueError(f"no data set {name!r}; there is: {', '.join(READERS)}")
    return READERS[name]


def scheme(name, root):
    """The landmark scheme of a data set: its own `scheme.yaml`'s where it is one's own.

    Raises:
        ValueError: an unknown name.
        DatasetError: what is wrong with scheme.yaml.
    """
    return own.scheme_of(root) if name == OWN else reader(name).SCHEME
