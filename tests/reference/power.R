# Power of planned studies by simulation with lme4: Rscript power.R > power.csv
#
# What simr's powerSim does for a Gaussian mixed model, written out: outcomes are drawn from the stated model, each is
# fitted by REML, and a study counts that finds the effect, here at the two-sided level of 5 % and on the right side.
# `power_t` takes a t distribution, with degrees of freedom of the design (groups - 2 for what describes groups, rows -
# groups - 1 for what describes people), `power_z` a normal one, as simr's tests "t" and "z" do.
suppressPackageStartupMessages(library(lme4))
set.seed(20)
n <- 1000

design <- function(groups, per_group, level) {
  group <- rep(seq_len(groups), each = per_group)
  x <- if (level == "group") group %% 2 else rep(as.vector(scale(seq_len(per_group))), groups)
  data.frame(group = factor(group), x = x)
}

found <- function(level, groups, per_group, icc, effect) {
  rows <- design(groups, per_group, level)
  df <- if (level == "group") groups - 2 else nrow(rows) - groups - 1
  outcome <- function() {
    effect * rows$x + rnorm(groups, 0, sqrt(icc))[rows$group] + rnorm(nrow(rows), 0, sqrt(1 - icc))
  }
  quiet <- lmerControl(check.conv.singular = "ignore", calc.derivs = FALSE)
  first <- lmer(y ~ x + (1 | group), cbind(rows, y = outcome()), control = quiet)
  ratio <- replicate(n, {
    tree <- refit(first, outcome())
    fixef(tree)[["x"]] / sqrt(vcov(tree)["x", "x"])
  })
  data.frame(level, groups, per_group, icc, effect, n,
    power_t = mean(ratio > qt(0.975, df)), power_z = mean(ratio > qnorm(0.975)))
}

cells <- rbind(
  data.frame(level = "group", groups = c(8, 20, 20, 40), per_group = c(20, 30, 72, 20), icc = c(.15, .15, .15, .3), effect = .4),
  data.frame(level = "person", groups = c(10, 20), per_group = c(10, 15), icc = c(.1, .3), effect = c(.2, .15))
)
result <- do.call(rbind, do.call(Map, c(found, as.list(cells))))
write.csv(result, row.names = FALSE, quote = FALSE)
