"""Profile of the time of a run."""

from __future__ import annotations

import threading

import pytest

from nirgen.translate.run import translate_folder
from nirgen.translate.summary import STAGES, Stopwatch


@pytest.fixture
def watch():
    """A stopwatch that has run for a thousand seconds."""
    watch = Stopwatch()
    watch._began -= 1000.0
    return watch


def test_times_and_images_add_up_by_stage(watch):
    watch.add("read", 100.0)
    watch.add("read", 300.0, images=3)
    read = watch.profile().stages[STAGES.index("read")]
    assert (read.name, read.images, read.seconds, read.rate, read.share) == ("read", 4, 400.0, 0.01, 0.4)


def test_stages_come_in_the_order_of_an_image_s_way(watch):
    assert [stage.name for stage in watch.profile().stages] == ["read", "decode", "model", "encode", "write"]


def test_a_stage_that_nothing_passed_has_no_rate(watch):
    assert {(stage.images, stage.rate) for stage in watch.profile().stages} == {(0, 0.0)}


def test_shares_of_the_run_are_those_of_its_wall_time(watch):
    watch.add("model", 500.0)
    watch.add("input", 300.0)
    watch.add("output", 100.0)
    watch.add("write", 1.0, images=2000)
    profile = watch.profile()
    assert profile.seconds == pytest.approx(1000, abs=1)
    assert (profile.device_busy, profile.waited_for_input, profile.waited_for_output) == (0.5, 0.3, 0.1)
    assert profile.images_per_second == 2.0


def test_threads_may_take_more_than_the_wall_time_and_a_device_may_not(watch):
    watch.add("encode", 3000.0)
    watch.add("model", 3000.0)
    profile = watch.profile()
    assert (profile.stages[STAGES.index("encode")].share, profile.device_busy) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("what", "remedy"),
    [("model", "a faster device"), ("input", "smaller sources"), ("output", "--format jpg")],
)
def test_what_took_most_is_the_bottleneck_and_has_a_remedy(watch, what, remedy):
    for each in ("model", "input", "output"):
        watch.add(each, 600.0 if each == what else 100.0)
    watch.add("decode", 9000.0)  # threads' work is no bottleneck as long as nobody waits for it
    assert watch.profile().bottleneck == what
    assert remedy in watch.profile().remedy


def test_a_queue_has_its_mean_length(watch):
    for waiting in (0, 3, 6):
        watch.note_length("input", waiting)
    assert (watch.profile().queued_input, watch.profile().queued_output) == (3.0, 0.0)


def test_a_block_that_fails_is_counted(watch):
    with pytest.raises(ZeroDivisionError), watch.timing("decode"):
        1 // 0  # noqa: B018 - raises
    assert watch.profile().stages[STAGES.index("decode")].images == 1


def test_no_count_of_a_thread_is_lost(watch):
    threads = [threading.Thread(target=lambda: [watch.add("read", 0.5) for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = watch.profile().stages[STAGES.index("read")]
    assert (read.images, read.seconds) == (4000, 2000.0)


def test_a_run_counts_each_image_once_at_each_stage(tmp_path, save, red):
    for number in range(5):
        save(tmp_path / f"src/{number}.png", seed=number)
    profile = translate_folder(tmp_path / "src", tmp_path / "out", model=red).profile
    assert [stage.images for stage in profile.stages] == [5] * 5
    assert profile.images_per_second > 0
