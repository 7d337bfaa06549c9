from __future__ import annotations

from dataclasses import replace

import pytest

from nirgen.dataset.licences import Part, check_licence, is_restricted, merge_licences, parts_of
from nirgen.errors import ConfigError

NC = {"id": 1, "name": "Attribution-NonCommercial License", "url": "x/by-nc/2.0/"}
BY = {"id": 2, "name": "Attribution License", "url": "x/by/2.0/"}


@pytest.mark.parametrize(
    ("licence", "restricted"),
    [
        ("CC BY-NC-SA 4.0", True),
        ("Attribution-NonCommercial License", True),
        ("non commercial", True),
        ("research only", True),
        ("Academic use", True),
        ("educational, research, not-for-profit", True),
        ("CC BY-ND 4.0", True),
        ("CC BY 4.0", False),
        ("MIT", False),
        ("Apache-2.0", False),
        ("unknown", False),
    ],
)
def test_words_that_restrict_are_known(licence: str, restricted: bool) -> None:
    assert is_restricted(licence) is restricted


def test_parts_are_models_and_what_labels_describe(small_plan) -> None:
    assert parts_of(small_plan) == [
        Part("model abcdef12, which made 'bdd'", "unknown"),
        Part("images and labels of 'bdd' (bdd.json)", "unknown"),
        Part("images and labels of 'ranus' (ranus.json)", "CC BY 4.0"),
    ]


def test_a_licence_that_allows_more_than_a_part_is_refused(make_small_plan, tmp_path) -> None:
    plan = make_small_plan(tmp_path, licence="MIT")
    check_licence(plan)
    plan = replace(plan, generators=(replace(plan.generators[0], licence="research only"),))
    with pytest.raises(ConfigError, match="licence 'MIT': the model abcdef12, which made 'bdd' says 'research only'"):
        check_licence(plan)
    check_licence(replace(plan, config=plan.config.model_copy(update={"licence": "CC BY-NC 4.0"})))
    check_licence(replace(plan, config=plan.config.model_copy(update={"licence": None})))


def test_licences_of_several_files_become_one_list(small_plan) -> None:
    bdd, ranus = small_plan.label_files
    files = (replace(bdd, licenses=(NC, BY)), replace(ranus, licenses=({**BY, "id": 1}, NC)))
    merged, renumbered = merge_licences(files)
    assert merged == [NC, BY]
    assert renumbered == {(1, 1): 2}
