"""A pretraining run, from the data to the encoder; and one that goes on where it stopped."""

import contextlib
import errno
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ownlatent.card import write_card
from ownlatent.checks import require_options
from ownlatent.config import BOUNDS, Pretrain
from ownlatent.data import Data
from ownlatent.data.patterns import absolute, still_there
from ownlatent.encoder import Encoder, EncoderFolder, load_encoder
from ownlatent.errors import UsageError
from ownlatent.kinds import KINDS, Samples
from ownlatent.methods import find
from ownlatent.methods.options import defaults, parse
from ownlatent.tracking import require as require_trackers
from ownlatent.training import fabric as devices
from ownlatent.training.checkpoint import Checkpoints, DamagedCheckpoint, require_room
from ownlatent.training.clock import Clock
from ownlatent.training.folder import RunFolder, stored_options, stored_plan
from ownlatent.training.interrupt import Interrupt, Stopped
from ownlatent.training.keeper import Keeper
from ownlatent.training.log import Log
from ownlatent.training.loop import train
from ownlatent.training.observer import Diverged, Observer
from ownlatent.training.provenance import differences, machine, versions
from ownlatent.training.resolve import requested, require_share
from ownlatent.training.session import Session, prepare, samples_for
from ownlatent.training.verdict import Collapsed

_ALLOCATION = "can't allocate memory"  # torch has no type of error for it on a CPU


class RunFailed(RuntimeError):
    """The run could not go on, for a reason outside it; the message says what to do."""


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes:
        folder: its folder: ``encoder/``, ``config.json``, ``log.jsonl``, ``verdict.json``.
    """

    folder: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        """The rows of ``log.jsonl``: ``step`` counts optimizer steps done; ``loss`` is the mean
        since the row before, ``seconds`` the time since the run began, ``data_wait`` and
        ``overhead`` are shares of it. What a kill cut off is left out."""
        return RunFolder(self.folder).log()

    @property
    def config(self) -> dict[str, Any]:
        """What was asked, what it came to, and where it ran: ``config.json``.

        Raises:
            UsageError: it is missing or damaged.
        """
        return RunFolder(self.folder).config()

    def encoder(self, network: str | None = None) -> Encoder:
        """See :func:`ownlatent.load_encoder`."""
        return load_encoder(self.folder, network=network)


def pretrain(data: Data | Samples, *, out: str | Path, **options: Any) -> Run:
    """Pretrain an encoder on unlabelled images.

    Args:
        data: a folder of images, a ``.npy``, ``.npz`` or Parquet file, an array of images,
            uint8 or uint16 ``[N, H, W]``, ``[N, H, W, C]`` or ``[N, C, H, W]``, or canvases decoded
            before; or rows, an array of numbers ``[N, C]``, a ``DataFrame`` or a file: see
            :func:`ownlatent.data.table.open_table`; or sounds: see
            :func:`ownlatent.data.clips.open_clips`; or sentences, a list or a file of them.
        out: the run's folder; it must be new.
        **options: the fields of :class:`ownlatent.config.Pretrain`, and the method's own (the
            keyword arguments of its class).

    Returns:
        the finished run: its encoder is in ``out/encoder``.

    Raises:
        UsageError: something asked for cannot be; nothing has been written then.
        Diverged: the loss is no longer a number.
        Collapsed: the features have collapsed, and ``on_collapse`` is "stop".
        Stopped: Ctrl-C or SIGTERM; a checkpoint has been saved.
        RunFailed: the disk is full, say; the last checkpoint is untouched.
    """
    if data is None:
        raise UsageError("There are no data: give a folder of images, a file or an array.")
    if isinstance(data, str | Path):
        name = str(data)
    else:
        held = getattr(data, "pixels", getattr(data, "content", data))
        name = f"array {list(getattr(held, 'shape', [len(data)]))}"
    return run(Pretrain(data=name, out=Path(out), **_sorted_out(options)), data)


def _sorted_out(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run as they are, those of its method as ``set`` holds them."""
    known = Pretrain.__dataclass_fields__
    method = options.get("method", "byol")
    own = defaults(find(method)) if isinstance(method, str) else {}
    for option in options:
        if option not in known and option not in own:
            raise UsageError(
                f"There is no option {option!r}; there are {', '.join(known)}, and {method} has "
                f"{', '.join(own)}."
            )
    given = {k: v for k, v in options.items() if k in known}
    settings = parse(given.get("set", ())) | {
        k: str(v) for k, v in options.items() if k not in known
    }
    return given | {"set": tuple(f"{k}={v}" for k, v in settings.items())}


def run(config: Pretrain, data: Data | Samples | None = None) -> Run:
    """Pretrain as the configuration says; ``data`` stands in for its path."""
    require_options(config, BOUNDS)
    folder = RunFolder(config.out)
    folder.refuse_if_taken()
    require_trackers(config.track)
    requested(config)  # what is wrong with it is said before anything is read
    samples = samples_for(config, data)
    # So that the folder says which it was.
    config = replace(config, backbone=config.backbone or KINDS[samples.kind].backbone)
    if getattr(samples, "place", None) == "stream":
        config = replace(config, place="stream")  # its fingerprint is another than of what is read
    session = prepare(config, samples)
    if session.first:
        _require_room(session)
    _introduce(session)
    return _at_work(session, folder)


def resume(
    folder: str | Path, data: Data | Samples | None = None, *, changed_data: bool = False
) -> Run:
    """Go on with a run that stopped, was killed or failed, from its newest checkpoint.

    On the same machine, with as many threads and processes and the same versions, it ends bit for
    bit as if it had never stopped; where one of these differs, it says so.

    Args:
        folder: the run's folder.
        data: the images, where they have moved or were an array in memory.
        changed_data: go on although the images are not those that the run began with.

    Returns:
        the finished run.

    Raises:
        UsageError: there is no run to go on with, or its images have changed.
        Diverged, Collapsed, Stopped, RunFailed: see :func:`pretrain`.
    """
    place = RunFolder(folder)
    stored = place.config()
    if place.busy():
        raise UsageError(f"{place.path} is in use by a running process; wait for it or stop it.")
    config, settled = stored_options(stored, place.path), stored_plan(stored)
    checkpoints = Checkpoints(place.path / "checkpoints", config.keep)
    step, state = _newest(checkpoints)
    if step >= settled.total_steps:
        raise UsageError(f"{place.path} has finished: {step:,} steps of {settled.total_steps:,}.")
    if data is None and config.data.startswith("array "):
        raise UsageError(
            f"{place.path} was made from an array in memory; give it again: "
            f'ol.resume("{place.path}", data=array).'
        )
    if data is None and not still_there(config.data):
        raise UsageError(f"{config.data} is gone: say where its data are now by --data.")
    require_trackers(config.track)
    require_share(settled.batch_size, settled.accumulate, devices.processes())
    if devices.device(config.accelerator).type == "cpu" and devices.processes() == 1:
        torch.set_num_threads(stored["machine"]["threads"])
    samples = samples_for(config, data)
    if samples.fingerprint != stored["data"]["fingerprint"] and not changed_data:
        raise UsageError(
            f"The {KINDS[samples.kind].noun} are not those that {place.path} began with "
            f"({len(samples):,} now, {stored['data']['images']:,} then): restore them, or "
            "go on all the same with --changed-data."
        )
    session = prepare(config, samples, settled)
    if session.first:
        for difference in differences(
            stored, str(session.fabric.device), session.fabric.world_size
        ):
            _tell(f"Not exact to the last bit: {difference}.")
        _tell(f"resuming  {place.path} after step {step:,} of {settled.total_steps:,}")
    return _at_work(session, place, step, state)


def _at_work(
    session: Session, folder: RunFolder, start: int = 0, state: dict[str, Any] | None = None
) -> Run:
    """Train from ``start`` on, in a folder that is locked for as long."""
    if not session.first:
        try:
            session.fabric.barrier()  # the folder is there
            _train(session, folder, start, state)
        except (Diverged, Collapsed):
            _write_encoder(session, folder)
            raise
        except Exception as error:
            if not devices.companion_lost(error):
                raise
            raise RunFailed(str(_failure(error, session, folder))) from error
        return Run(folder.path)
    with folder:
        try:
            if state is None:
                folder.write_config(_description(session))
            folder.cut_log(start)
            folder.write_state("running")
            session.fabric.barrier()
            _train(session, folder, start, state)
        except Stopped as stop:
            folder.write_state("stopped", str(stop))
            raise
        except Diverged as divergence:
            folder.write_state("diverged", str(divergence))
            _keep_for_replay(session, folder, divergence.step)
            _write_encoder(session, folder)
            raise
        except Collapsed as collapse:
            folder.write_state("collapsed", str(collapse))
            _write_encoder(session, folder)
            raise
        except Exception as error:
            message = _failure(error, session, folder)
            with contextlib.suppress(OSError):  # a full disk has no room for the reason either
                folder.write_state("failed", message or str(error))
            if message is None:
                raise
            raise RunFailed(message) from error
        folder.write_state("finished")
    return Run(folder.path)


def _train(session: Session, folder: RunFolder, start: int, state: dict[str, Any] | None) -> None:
    config, clock = session.config, Clock()
    began = time.perf_counter()
    checkpoints = Checkpoints(folder.path / "checkpoints", config.keep)
    with (
        Interrupt() as interrupt,
        Log(
            folder,
            session.plan.total_steps,
            active=session.first,
            track=config.track,
            start=start,
        ) as log,
    ):
        observer = Observer(session, log, clock)
        if state is None:
            observer.verdict.begin()
        else:
            _restore(session, observer, state)
        keeper = Keeper(session, observer, checkpoints, interrupt)
        train(session, observer, keeper, clock, start)
    _write_encoder(session, folder)
    if session.first:
        shares = {k: v / clock.total for k, v in clock.seconds.items()}
        folder.write("timing.json", {"seconds": time.perf_counter() - began, "shares": shares})


def _restore(session: Session, observer: Observer, state: dict[str, Any]) -> None:
    try:
        session.load_state_dict(state)
        observer.load_state_dict(state["observer"])
    # What does not fit is met with errors of many types.
    except Exception as error:
        why = " ".join(str(error).split()[:20])
        raise UsageError(
            f"The checkpoint in {session.config.out} is not of the run that its config.json tells "
            f"of ({why}); restore that file."
        ) from error


def _write_encoder(session: Session, folder: RunFolder) -> None:
    """Every process must call it; the first one writes."""
    weights = session.weights()
    if session.first:
        EncoderFolder.write(folder.path / "encoder", session.encoders, weights)
        write_card(folder.path)


def _newest(checkpoints: Checkpoints) -> tuple[int, dict[str, Any] | None]:
    """The newest checkpoint that loads; step 0 and no state where none was written yet."""
    damaged: DamagedCheckpoint | None = None
    for step, state in checkpoints.newest():
        if not isinstance(state, DamagedCheckpoint):
            return step, state
        damaged = damaged or state
        _tell(f"Passed over: {state}.")
    if damaged is not None:
        raise UsageError(f"No checkpoint loads: {damaged}; restore it, or start a new run.")
    return 0, None


def _description(session: Session) -> dict[str, Any]:
    """``config.json``: what was asked, what it came to, on which data and machine."""
    config, samples = session.config, session.samples
    asked = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    for name in ("data", "init"):  # so that a run goes on from any working directory
        if asked[name] is not None:
            asked[name] = absolute(asked[name])
    return {
        "asked": asked,
        "plan": session.plan.as_dict(),
        "data": {
            "summary": samples.summary(),
            "images": len(samples),
            "fingerprint": samples.fingerprint,
            "skipped": samples.skipped,
        },
        "machine": machine(str(session.fabric.device), session.fabric.world_size),
        "versions": versions(),
    }


def _introduce(session: Session) -> None:
    """Say what will run, in a few lines."""
    if not session.first:
        return
    config, plan = session.config, session.plan
    _tell(f"data      {session.samples.summary()}")
    for name, why in session.samples.skipped[:5]:
        _tell(f"skipped   {name}: {why}")
    _tell(f"backbone  {'; '.join(session.lines)}")
    reference = " (reference pipeline)" if config.reference else ""
    local = f" and {plan.crops} local crops" if plan.crops else ""
    local += f" after {plan.crops_after:.0%} of the run" if plan.crops and plan.crops_after else ""
    side = f"{plan.start_size} to {plan.size}" if plan.start_size else str(plan.size)
    unit, noun = KINDS[session.samples.kind].unit, KINDS[session.samples.kind].noun
    _tell(f"views     {plan.views}, {side} {unit}{local}{reference}")
    _tell(f"method    {', '.join(f'{k} {v}' for k, v in plan.options.items())}")
    _tell(
        f"run       {config.method} {config.preset}: {plan.total_steps:,} steps of "
        f"{plan.batch_size} {noun} ({plan.total_steps / plan.steps_per_epoch:.1f} epochs), "
        f"{plan.optimizer}, lr {plan.lr:g}, {plan.precision}, "
        f"{'compiled' if plan.compile else 'eager'}"
    )


def _require_room(session: Session) -> None:
    trained = [p for p in session.method.parameters() if p.requires_grad]
    buffers = 2 if session.plan.optimizer == "adamw" else 1
    state = {"method": session.method.state_dict(), "optimizer": [trained] * buffers}
    place = session.config.out.absolute()
    while not place.exists():
        place = place.parent
    require_room(place, state, session.config.keep)


def _keep_for_replay(session: Session, folder: RunFolder, step: int) -> None:
    """Name the images of the step that diverged, over all processes."""
    rows = session.batches.whole(step).tolist()
    names = session.samples.names
    ids = session.samples.ids[rows].tolist()
    images = [{"id": i, "name": names[row]} for i, row in zip(ids, rows, strict=True)]
    folder.write("diverged.json", {"step": step, "seed": session.config.seed, "images": images})


def _failure(error: Exception, session: Session, folder: RunFolder) -> str | None:
    """What a person can do about it, if it came from outside."""
    steps = Checkpoints(folder.path / "checkpoints").steps()
    kept = f"the checkpoint of step {steps[-1]:,} is untouched" if steps else "nothing was lost"
    again = f"ownlatent resume {session.config.out}"
    if devices.companion_lost(error):
        return (
            "Another process of this run ended (torchrun, or its own output, says which and why); "
            f"{kept}: go on with: {again}"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full; {kept}: free some space and go on with: {again}"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; {kept}: mend that and go on with: {again}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _ALLOCATION in str(error):
        return (
            f"The memory is full; {kept}: make room and go on with: {again}; or begin anew with a "
            "smaller --batch-size or a larger --accumulate."
        )
    return None


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
