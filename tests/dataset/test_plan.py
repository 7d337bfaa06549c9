from __future__ import annotations

from nirgen.dataset.plan import LeftOut, Tally


def test_what_stays_out_is_counted_by_input_and_reason_with_the_first_names() -> None:
    tally = Tally()
    tally.add("ranus", "unlabelled", {"b"})
    tally.add("bdd", "unlabelled", [f"{number}.jpg" for number in range(9, -1, -1)])
    tally.add("bdd", "failed", ["x"])
    tally.add("bdd", "failed", [])
    tally.add("bdd", "changed", [])
    assert tally.left_out() == (
        LeftOut("bdd", "failed", 1, ("x",)),
        LeftOut("bdd", "unlabelled", 10, ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg")),
        LeftOut("ranus", "unlabelled", 1, ("b",)),
    )
