"""An encoder's vectors of a data set: written, read, searched."""

from ownlatent.embeddings.store import Near, Store, open_store
from ownlatent.embeddings.write import Embedded, write_embeddings

__all__ = ["Embedded", "Near", "Store", "open_store", "write_embeddings"]
