"""Record a promoted prompt over a further engine: its cases run there, and the lock names the engine after a PASS.

In: a promoted folder, a context with the further engine. Out: the parity with the first engine, and after a PASS the
recording `recordings/ID.jsonl` and its part of the lock. After another verdict nothing is written, unless the caller
accepts it with a reason.
Not here: the promotion of a draft (`promote`), the comparison (`parity`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from service.errors import EvaluationError, LockMismatch
from service.evaluation import parity, promote, recording
from service.evaluation.context import EvaluationContext
from service.evaluation.parity import Parity
from service.evaluation.recording import BROKEN
from service.evaluation.runner import CaseOutcome
from service.prompts import lock as locks
from service.prompts.engine_lock import EngineLock, engine_differences, engine_id
from service.prompts.promoted import PromotedFolder


@dataclass(frozen=True)
class EnginePromotion:
    """A further engine beside the first one. `written` is true if the lock names it now."""

    engine: str
    parity: Parity
    accepted: str = ""
    written: bool = False

    def markdown(self) -> str:
        """The text of the pull request."""
        text = self.parity.markdown()
        return f"{text}\n\nAccepted all the same: {self.accepted}" if self.accepted else text

    def __repr__(self) -> str:
        """One line, for a terminal and for the text form in a saved notebook."""
        place = "promoted" if self.written else "not promoted"
        return f"<{self.parity.name} on {self.engine}: {self.parity.verdict.word}, {place}>"

    def _repr_markdown_(self) -> str:
        return self.markdown()


async def promote_on(
    target: PromotedFolder, context: EvaluationContext, *, accept: str | None = None
) -> EnginePromotion:
    """Ask this context's engine the cases of the promoted prompt, and write its recording on PASS.

    The verdict is the paired one beside the first engine's recording. `accept` is the reason to write without a PASS.

    Raises:
        EvaluationError: if the engine is the first one, if the cases cannot be judged, or if one cannot be asked.
        LockMismatch: if nothing is promoted, or if the files are not those of the lock.
        EngineError: if the engine fails.
        OSError: if the folder cannot be written.
    """
    remedy = f"Promote it first: sameboat promote {target.name}"
    if not target.is_complete:
        raise LockMismatch(f"{target.name} is not promoted, so no engine can be added.", key="lock", remedy=remedy)
    prompt, lock = target.prompt(), target.lock()
    if changed := target.differences(prompt, lock):
        raise LockMismatch(f"{target.name} is not what was promoted: {'; '.join(changed)}.", key="lock", remedy=remedy)
    if not engine_differences(lock.identity, context.engine.identity):
        again = f"Record it again: sameboat promote {target.name}"
        raise EvaluationError(f"{target.name}: this engine is the lock's first one.", key="engine", remedy=again)
    there = await parity.ask(prompt, target, context)
    if broken := [outcome for outcome in there.outcomes if _refused(outcome)]:
        raise EvaluationError(
            f"{target.name}: {len(broken)} of {len(there.outcomes)} cases cannot be asked on this engine, first "
            f"{broken[0].case.id[:80]}: {broken[0].record.problem}",
            key=broken[0].case.id[:80],
            remedy="Use an engine with the abilities that the prompt needs. sameboat doctor shows them.",
        )
    result = EnginePromotion(engine_id(there.identity), parity.compare(prompt, parity.recorded(prompt, target), there))
    passed = result.parity.verdict.word == "PASS"
    if not passed and not accept:
        return result
    accepted = "" if passed or accept is None else accept
    with target.replacing() as staged:
        path = staged.engine_recording_path(result.engine)
        path.parent.mkdir(exist_ok=True)
        recording.write(path, promote.records_of(there.outcomes))
        conditions = context.conditions if there.identity.engine == "local" else None  # a server's own are not told
        part = EngineLock.of(there.identity, locks.file_sha256(path), conditions, accepted)
        staged.save_lock(replace(lock, engines={**lock.engines, result.engine: part}))
    return replace(result, accepted=accepted, written=True)


def _refused(outcome: CaseOutcome) -> bool:
    """Whether the engine was asked and refused the case. A case that no engine could be asked has no fingerprint."""
    return any(record.finish_reason == BROKEN and record.fingerprint for record in outcome.records)
