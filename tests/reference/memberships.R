# People in several groups by lme4: the design matrix of a factor is replaced by one of weights that sum to one in a row.
suppressMessages(library(lme4))
d <- read.csv("memberships_data.csv", na.strings = "")
groups <- as.matrix(d[paste0("area", 1:3)])
years <- as.matrix(d[paste0("years", 1:3)])
areas <- sort(unique(na.omit(as.vector(groups))))
equal <- matrix(1, nrow(d), 3)
parts <- function(w) {
  w[is.na(groups)] <- 0
  w <- w / rowSums(w)
  Z <- sapply(areas, function(a) rowSums(w * (!is.na(groups) & groups == a)))
  Matrix(t(Z), sparse = TRUE)
}
d$area <- factor(rep(areas, length.out = nrow(d)), levels = areas)  # stands for the rows that are replaced
few <- lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-14, maxeval = 1e5))
out <- NULL
keep <- function(fit, formula, w, reml) {
  p <- lFormula(formula, d, REML = reml)
  for (k in which(names(p$reTrms$cnms) == "area")) {
    rows <- (p$reTrms$Gp[k] + 1):p$reTrms$Gp[k + 1]
    p$reTrms$Zt[rows, ] <- parts(w)
  }
  f <- do.call(mkLmerDevfun, p)
  o <- optimizeLmer(f, optimizer = "nloptwrap", control = few$optCtrl)
  m <- mkMerMod(environment(f), o, p$reTrms, fr = p$fr)
  sds <- as.data.frame(VarCorr(m))
  effects <- ranef(m)$area[c("a00", "a05", "a13"), 1]
  values <- c(fixef(m), sqrt(diag(as.matrix(vcov(m)))), sds$sdcor, logLik(m), effects)
  names <- c("intercept", "x", "error of intercept", "error of x", ifelse(sds$grp == "Residual", "sigma", sds$grp), "log likelihood", "a00", "a05", "a13")
  out <<- rbind(out, data.frame(fit, method = if (reml) "reml" else "ml", quantity = names, value = signif(values, 9)))
}
for (reml in c(TRUE, FALSE)) {
  keep("equal", y ~ x + (1 | area), equal, reml)
  keep("years", y ~ x + (1 | area), years, reml)
  keep("years and schools", y ~ x + (1 | school) + (1 | area), years, reml)
}
write.csv(out, "memberships.csv", row.names = FALSE)
