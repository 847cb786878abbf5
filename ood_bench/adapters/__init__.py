"""Other packages' own code as scorers, by source: `pytorch-ood:KNN`, `openood:knn`. Imported only when one is named."""
