"""Is the data of a profile where its parameters say? Asked before the pipeline starts.

Light on purpose: it imports no torch, so that a pipeline with nothing to do stays quick.
"""

import sys

import yaml

from study import paths


def why_not(profile):
    """What is missing for a profile, in words, or None where its pipeline can start.

    Stand-ins are rendered and stills set in motion, so they are never missing; parameters that
    cannot be read are for `study.config` to name.
    """
    parameters = yaml.safe_load(paths.params_file(profile).read_text())
    sets = [parameters[key] for key in ("data", "video", "talking") if parameters.get(key)]
    gone = [data for data in sets if _is_missing(data)]
    if not gone:
        return None
    names = " and ".join(f"{data['name']} in {data['root']}" for data in gone)
    if any(data["name"] == "OWN" for data in gone):
        return (
            f"profile {profile} needs {names}, and there is no such folder. Put scheme.yaml, the "
            f"points and the images there (see docs/own_data.md), check them with "
            f"`python -m study check-data OWN {gone[0]['root']}`, and try again."
        )
    checks = " and ".join(f"`python -m study check-data {d['name']} {d['root']}`" for d in gone)
    return (
        f"profile {profile} needs {names}, and there is no such folder. Put or link the official "
        f"folder there (see README.md, Bring real faces), check it with {checks}, and try again. "
        f"`make repro` alone runs on rendered stand-ins; `make report PROFILE={profile}` shows "
        "what is recorded."
    )


def _is_missing(data):
    made = data.get("standin") or data.get("motion")
    return not made and not (paths.ROOT / data["root"]).is_dir()


if __name__ == "__main__":
    reason = why_not(sys.argv[1])
    if reason:
        sys.exit(f"error: {reason}")
