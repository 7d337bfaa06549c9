"""What a run writes of itself: the manifest, and `run.json`."""

from __future__ import annotations

import json
import platform
import socket
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nirgen import __version__
from nirgen.files import write_whole
from nirgen.translate import resume
from nirgen.translate.manifest import NAME, write_rows
from nirgen.translate.mixing import precision_of
from nirgen.translate.recorded import RUN_NAME, RUN_SCHEMA, read_recorded
from nirgen.translate.remote import count_objects
from nirgen.translate.summary import Summary
from nirgen.translate.url import Url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.translate.job import Job
    from nirgen.translate.manifest import Row
    from nirgen.translate.profile import Profile
    from nirgen.translate.resume import Others
    from nirgen.translate.summary import Count
    from nirgen.translate.url import Place


def write_manifest(job: Job, dropped: frozenset[str]) -> int:
    """Join the old manifest and the journal; the number of outputs that it names."""
    outputs = 0

    def rows() -> Iterator[Row]:
        nonlocal outputs
        for row in read_recorded(job.out).rows():
            if row.source not in dropped:
                outputs += row.output is not None
                yield row

    write_rows(job.out, rows(), job.header())
    job.records.publish(NAME)
    return outputs


def summarise(job: Job, tally: Count, others: Others, *, outputs: int, seconds: float, profile: Profile) -> Summary:
    """Join what a run counted; `outputs` is how many of them the manifest names."""
    return Summary(
        root=str(job.plan.root),
        out=str(job.target),
        sources=tally.unchanged + tally.through,
        translated=tally.translated,
        changed=tally.changed,
        unchanged=tally.unchanged,
        failed=tally.failed,
        failures=tuple(tally.failures),
        dropped=0 if job.run.redo else len(others.gone),
        lost=len(others.lost),
        stray=max(0, _count(job.target) - outputs),
        other_files=job.plan.other_files,
        hidden=job.plan.hidden,
        loops=job.plan.loops,
        seconds=round(seconds, 3),
        profile=profile,
    )


def write_run(job: Job, started: float, *, state: str, summary: Summary | None = None) -> None:
    """Write `OUT/run.json`: all that must not be in the manifest, because it differs from run to run."""
    seconds = time.monotonic() - started
    values: dict[str, Any] = {
        "schema": RUN_SCHEMA,
        "state": state,
        "source": str(job.plan.root.resolve()),
        "shard": None if job.plan.shard is None else str(job.plan.shard),
        "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "nirgen": __version__,
        "device": str(getattr(job.translator, "device", "unknown")),
        "precision": precision_of(job.translator),
        "model_id": job.translator.id,
        "options": job.options.described(),
        "run_options": job.run.model_dump(mode="json"),
        "summary": None if summary is None else asdict(summary),
    }
    write_whole(job.out / RUN_NAME, json.dumps(values, indent=2).encode() + b"\n")
    job.records.publish(RUN_NAME)


def _count(out: Place) -> int:
    return count_objects(out) if isinstance(out, Url) else resume.count_files(out)
