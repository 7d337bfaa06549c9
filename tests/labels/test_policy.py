from __future__ import annotations

from pathlib import Path

import pytest

from nirgen.errors import ConfigError, NirgenError
from nirgen.labels import Policy
from nirgen.labels.policy import BUILT_IN

KNOWN_NAMES = {
    "BDD100K 2018": """bike, bus, car, motor, person, rider, traffic light, traffic sign, train, truck, lane,
        drivable area, area/alternative, area/drivable, area/unknown, lane/crosswalk, lane/double other, lane/double
        white, lane/double yellow, lane/road curb, lane/single other, lane/single white, lane/single yellow""",
    "BDD100K 2020": """pedestrian, rider, car, truck, bus, train, motorcycle, bicycle, traffic light, traffic sign,
        direct, alternative, background, crosswalk, double other, double white, double yellow, road curb, single
        other, single white, single yellow""",
    "BDD100K tracking": """pedestrian, rider, car, truck, bus, train, motorcycle, bicycle, other person, trailer,
        other vehicle, van, caravan""",
    "BDD100K panoptic": """unlabeled, dynamic, ego vehicle, ground, static, parking, rail track, road, sidewalk,
        bridge, building, fence, garage, guard rail, tunnel, wall, banner, billboard, lane divider, parking sign,
        pole, polegroup, street light, traffic cone, traffic device, traffic light, traffic sign, traffic sign
        frame, terrain, vegetation, sky, person, rider, bicycle, bus, car, caravan, motorcycle, trailer, train,
        truck""",
    "COCO": """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
        stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
        backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
        baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl,
        banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant,
        bed, dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
        refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush""",
    "FLIR": """person, bike, bicycle, car, motor, bus, train, truck, light, hydrant, sign, dog, deer, skateboard,
        stroller, scooter, other vehicle, face, license plate""",
    "M3FD": "People, Car, Bus, Motorcycle, Lamp, Truck",
    "Cityscapes": """unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground, road,
        sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, polegroup, traffic
        light, traffic sign, vegetation, terrain, sky, person, rider, car, truck, bus, caravan, trailer, train,
        motorcycle, bicycle, license plate, on rails""",
    "IDD": """road, parking, drivable fallback, sidewalk, rail track, non-drivable fallback, person, animal, rider,
        motorcycle, bicycle, autorickshaw, car, truck, bus, caravan, trailer, train, vehicle fallback, curb, wall,
        fence, guard rail, billboard, traffic sign, traffic light, pole, polegroup, obs-str-bar-fallback, building,
        bridge, tunnel, vegetation, sky, fallback background, unlabeled, ego vehicle, rectification border, out of
        roi, license plate""",
    "KITTI": "Car, Van, Truck, Pedestrian, Person_sitting, Cyclist, Tram, Misc, DontCare",
    "VOC": """aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
        person, pottedplant, sheep, sofa, train, tvmonitor""",
    "KAIST": "person, people, cyclist, person?, person?a, person",
    "VisDrone": """ignored regions, pedestrian, people, bicycle, car, van, truck, tricycle, awning-tricycle, bus, motor,
        others""",
    "RANUS": "ignore, sky, ground, water, mountain, road, construction, vegetation, object, vehicle, human",
}


@pytest.mark.parametrize("data_set", KNOWN_NAMES)
def test_default_knows_every_name_of_the_public_data_sets(data_set: str) -> None:
    names = [" ".join(name.split()) for name in KNOWN_NAMES[data_set].split(",")]
    assert len(names) >= 6
    policy = Policy.load("default")
    assert [name for name in names if policy.fate(name).kind == "unknown"] == []


@pytest.mark.parametrize(
    ("policy", "name", "fate"),
    [
        ("default", "rider", ("take", "person")),
        ("default", "motor", ("take", "bicycle")),
        ("default", "Van", ("take", "car")),
        ("default", "autorickshaw", ("take", "car")),
        ("default", "Cyclist", ("take", "person")),
        ("default", "Person_sitting", ("take", "person")),
        ("default", "train", ("ignore", "car")),
        ("default", "other person", ("ignore", "person")),
        ("default", "DontCare", ("ignore", "car")),
        ("default", "ignored regions", ("ignore", "car")),
        ("default", "awning-tricycle", ("ignore", "car")),
        ("default", "person?", ("ignore", "person")),
        ("default", "tvmonitor", ("drop", None)),
        ("default", "Lamp", ("drop", None)),
        ("default", "pedestrain", ("unknown", None)),
        ("paper", "rider", ("drop", None)),
        ("paper", "train", ("drop", None)),
        ("paper", "bus", ("take", "car")),
        ("paper", "motorcycle", ("take", "bicycle")),
        ("bdd100k", "other person", ("ignore", "pedestrian")),
        ("bdd100k", "trailer", ("ignore", "truck")),
        ("bdd100k", "caravan", ("take", "car")),
        ("bdd100k", "vehicle", ("unknown", None)),
        ("identity", "Anything_at all", ("take", "Anything_at all")),
    ],
)
def test_what_becomes_of_a_name(policy: str, name: str, fate: tuple[str, str | None]) -> None:
    found = Policy.load(policy).fate(name)
    assert (found.kind, found.category) == fate


def test_classes_stand_in_one_order() -> None:
    names = {name: [rule.name for rule in Policy.load(name).classes] for name in BUILT_IN}
    assert names == {
        "default": ["person", "bicycle", "car"],
        "paper": ["person", "bicycle", "car"],
        "bdd100k": [
            *("pedestrian", "rider", "car", "truck", "bus", "train"),
            *("motorcycle", "bicycle", "traffic light", "traffic sign"),
        ],
        "identity": [],
    }


def test_bdd100k_follows_the_official_mapping(shared_data: Path) -> None:
    import tomllib

    official = tomllib.loads((shared_data / "formats" / "bdd100k_det.toml").read_text())
    policy = Policy.load("bdd100k")
    assert len(official["name_mapping"]) == 5
    for name, other in official["name_mapping"].items():
        assert (policy.fate(name).kind, policy.fate(name).category) == ("take", other)
    for name, other in official["ignored_mapping"].items():
        assert (policy.fate(name).kind, policy.fate(name).category) == ("ignore", other)
    leaves = [leaf["name"] for one in official["scalabel"]["categories"] for leaf in one.get("subcategories", [one])]
    assert [rule.name for rule in policy.classes] == leaves


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases: []", "unknown key 'clases'; did you mean 'classes'?"),
        ("classes: [{name: a, takes: [b]}]", "unknown key 'classes.0.takes'; did you mean 'take'?"),
        ("classes: [{name: a, take: [B]}]\ndrop: [b]", "'b' is named twice; name it once"),
        ("classes: [{name: a}, {name: a}]", "'a' is the name of two classes"),
        ("classes: [{name: a, supercategory: b}, {name: b}]", "the supercategory 'b' is the name of a class"),
        ("about: nothing", "write 'classes', or 'keep: true' alone"),
        ("keep: true\nclasses: [{name: a}]", "write 'classes', or 'keep: true' alone"),
        ("[1]", "no policy; write 'classes'"),
        ("a: [", "no YAML"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        Policy.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_ones_own_chooses_classes(tmp_path: Path, save_json, converted, coco) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("classes: [{name: vehicle, take: [car], ignore: [TRUCK]}]\nothers: drop\n")
    boxes = [("car", [0, 0, 5, 5]), ("truck", [20, 0, 5, 5]), ("dog", [40, 0, 5, 5])]
    file = converted(save_json(coco(*boxes)), policy=path)
    assert file["info"]["nirgen"]["policy"] == "mine.yaml"
    assert file["categories"] == [{"id": 1, "name": "vehicle", "supercategory": "thing"}]
    assert [(one["source_category"], one["iscrowd"]) for one in file["annotations"]] == [("car", 0), ("truck", 1)]


def test_a_policy_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(NirgenError, match="none of default, paper, bdd100k, identity; did you mean 'default'"):
        Policy.load("defualt")


@pytest.mark.parametrize("name", ["default", "paper"])
def test_the_docs_list_what_classes_take(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` | person"))
    classes = Policy.load(name).classes
    for rule in classes:
        assert f"{rule.name}: {', '.join(rule.take)}" in row
        if rule.ignore:
            assert f"{rule.name}: {', '.join(rule.ignore)}" in row
