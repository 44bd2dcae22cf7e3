"""Scores of predictions, tuned thresholds, and every interval and p-value of emomtl.

All intervals cover 95% (`bootstrap.LEVEL`), and runs share the bootstrap samples of their rows
(`bootstrap.sample_rows`), so that differences between them are paired. There are four kinds:

- one run, another draw of its rows: `bootstrap.percentile_interval`. For F1 by label, Pearson's r
  and RMSE, whose distributions are skewed and bounded.
- one run, a quantity that resampling itself shifts (distances of centroids, ratios):
  `bootstrap.BootstrapEstimate`, whose interval is moved by the bootstrap's estimate of that bias.
- several seeds, another draw of seeds and of rows: `intervals.estimate`. For everything that a
  study or `emomtl compare` says of a metric or of a difference.
- independent measurements without rows (steps, batches, timings): `intervals.mean_interval`,
  Student's t.

P-values of two sets of predictions, corrections for many comparisons and verdicts are in
`significance` and `verdicts`.
"""
