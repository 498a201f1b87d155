# Effects of neighbours by mgcv: a Markov random field (bs = "mrf") on a grid of areas with a gap, by REML.
suppressMessages(library(mgcv))
d <- read.csv("maps_data.csv", stringsAsFactors = TRUE)
names <- sprintf("r%dc%d", rep(0:4, each = 5), rep(0:4, 5))
beside <- function(a) {
  r <- as.integer(substr(a, 2, 2)); c <- as.integer(substr(a, 4, 4))
  near <- sprintf("r%dc%d", c(r - 1, r + 1, r, r), c(c, c, c - 1, c + 1))
  match(near[near %in% names], names)
}
nb <- setNames(lapply(names, beside), names)
d$area <- factor(d$area, levels = names)
all <- list(area = factor(names, levels = names))
out <- NULL
keep <- function(fit, model) {
  at <- data.frame(area = factor(c("r0c0", "r2c2", "r4c4", "r3c1"), levels = names), x = 0)
  out <<- rbind(out, data.frame(fit, quantity = c(paste("fitted", at$area), "x", "sigma", "error of x"),
    value = signif(c(predict(model, at), coef(model)[["x"]], sqrt(model$reml.scale), sqrt(vcov(model)["x", "x"])), 10)))
}
few <- list(epsilon = 1e-10)
keep("neighbours", gam(y ~ x + s(area, bs = "mrf", xt = list(nb = nb)), data = d, method = "REML", control = few, knots = all, drop.unused.levels = FALSE))
keep("neighbours and areas", gam(y ~ x + s(area, bs = "mrf", xt = list(nb = nb)) + s(area, bs = "re"), data = d, method = "REML", control = few, knots = all, drop.unused.levels = FALSE))
write.csv(out, "maps.csv", row.names = FALSE)
