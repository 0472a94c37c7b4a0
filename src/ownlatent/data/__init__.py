"""From files to canvases: sources, decoding, and where decoded images live."""

from ownlatent.data.build import decode_canvases
from ownlatent.data.canvases import Canvases, overlap
from ownlatent.data.fingerprint import sample_id
from ownlatent.data.opening import Data, open_source
from ownlatent.data.parts import decode_parts
from ownlatent.data.ready import as_canvases, canvases_or_stream
from ownlatent.data.shards import write_index
from ownlatent.data.source import Source, Unreadable
from ownlatent.data.streamed import Streamed

__all__ = [
    "Canvases",
    "Data",
    "Source",
    "Streamed",
    "Unreadable",
    "as_canvases",
    "canvases_or_stream",
    "decode_canvases",
    "decode_parts",
    "open_source",
    "overlap",
    "sample_id",
    "write_index",
]
