"""Is the data of a profile where its parameters say? Asked before the pipeline starts.

Light on purpose: it imports no torch, so that a pipeline with nothing to do stays quick.
"""

import sys

import yaml

from study import paths


def why_not(profile):
    """What is missing for a profile, in words, or None where its pipeline can start.

    Stand-ins are rendered, so they are never missing; parameters that cannot be read are for
    `study.config` to name.
    """
    data = yaml.safe_load(paths.params_file(profile).read_text())["data"]
    root = paths.ROOT / data["root"]
    if data.get("standin") or root.is_dir():
        return None
    return (
        f"profile {profile} needs {data['name']}, and there is no folder {data['root']}. Put or "
        f"link the official folder there (see README.md, Bring real faces), check it with "
        f"`python -m study check-data {data['name']} {data['root']}`, and try again. "
        f"`make repro` alone runs on rendered stand-ins; `make report PROFILE={profile}` shows "
        "what is recorded."
    )


if __name__ == "__main__":
    reason = why_not(sys.argv[1])
    if reason:
        sys.exit(f"error: {reason}")
