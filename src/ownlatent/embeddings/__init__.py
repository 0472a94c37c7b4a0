"""An encoder's vectors of a data set: written, read, searched, and put to use."""

from ownlatent.embeddings.classify import Classified, classify
from ownlatent.embeddings.clusters import Clusters, clusters, write_clusters
from ownlatent.embeddings.duplicates import Group, duplicates, spare
from ownlatent.embeddings.neighbours import neighbours
from ownlatent.embeddings.outliers import Outliers, outliers
from ownlatent.embeddings.search import Found, Hit, search
from ownlatent.embeddings.select import select
from ownlatent.embeddings.store import Near, Store, open_store
from ownlatent.embeddings.write import Embedded, write_embeddings

__all__ = [
    "Classified",
    "Clusters",
    "Embedded",
    "Found",
    "Group",
    "Hit",
    "Near",
    "Outliers",
    "Store",
    "classify",
    "clusters",
    "duplicates",
    "neighbours",
    "open_store",
    "outliers",
    "search",
    "select",
    "spare",
    "write_clusters",
    "write_embeddings",
]
