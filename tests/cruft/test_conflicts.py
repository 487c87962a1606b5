"""What `cruft update` leaves where it can't decide."""

from __future__ import annotations

import re

from tests.cruft.repository import SERVICE, TEMPLATE, Repository, release, update


def test_a_conflict_is_left_in_the_file_and_cruft_ends_with_0(template: Repository, project: Repository) -> None:
    """So whoever updates by machine has to look for it, as `git diff --check` does."""
    project.edit(SERVICE, "interval: 15s", "interval: 10s")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    release(template)
    said = update(project)
    assert "with conflicts" in said
    assert "UU " + SERVICE in project.run("git", "status", "--porcelain")
    assert re.findall(r"^<{7} .*|^>{7} .*", project.read(SERVICE), re.M) == ["<<<<<<< ours", ">>>>>>> theirs"]
    assert "leftover conflict marker" in project.run("git", "diff", "--check", code=2)


def test_in_a_shallow_clone_a_conflict_is_a_rej_file(template: Repository, project: Repository) -> None:
    """git lacks the file as it was generated, which merging three ways starts from."""
    project.edit(SERVICE, "interval: 15s", "interval: 10s")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    release(template)
    shallow = Repository(project.folder.with_name("shallow"), project.home)
    project.run("git", "clone", "--quiet", "--depth=1", project.folder.as_uri(), str(shallow.folder))
    assert ".rej" in update(shallow)
    assert shallow.changed() == {"README.md", f"{SERVICE}.rej"}
    assert "interval: 10s" in shallow.read(SERVICE)


def test_an_update_is_refused_where_work_is_not_committed(template: Repository, project: Repository) -> None:
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    release(template)
    project.edit("README.md", "# Mistral Nemo\n", "# Ours\n")
    assert "unclean git project" in project.cruft("update", "--skip-apply-ask", code=1)
    assert project.changed() == {"README.md"}
