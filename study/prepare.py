"""From a profile's official dataset folder to its cached crops; stand-ins are rendered first."""

from study import datasets, paths
from study.datasets import crops as crop_cache


def data_root(profile):
    """The official folder of a profile's dataset."""
    return paths.ROOT / profile.data.root


def render(profile, jobs=2):
    """Writes the profile's stand-ins, if it has any and they are not there yet."""
    standin = profile.data.standin
    if standin is not None:
        from study.standin import write

        write.write_300w(data_root(profile), standin.faces, standin.seed, jobs=jobs)


def prepare(profile, jobs=2):
    """Index and crops of a profile's dataset.

    Returns:
        the index (one row a face) and the `Crops`, rows alike.

    Raises:
        datasets.DatasetError: what is missing or broken, all at once.
    """
    render(profile, jobs)
    index = datasets.load(profile.data.name, data_root(profile))
    settings = profile.crops
    crops = crop_cache.build(
        index,
        data_root(profile),
        paths.crops(profile.name, profile.data.name),
        size=settings.size,
        scale=settings.scale,
        context=settings.context,
        oversample=settings.oversample,
        jobs=jobs,
    )
    return index, crops
