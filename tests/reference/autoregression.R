# Likelihoods of a first-order autoregression under noise, by nlme: corExp in time with a nugget is the same model.
# Rscript autoregression.R, in this folder.
library(nlme)

nile <- data.frame(volume = as.numeric(datasets::Nile), year = 1871:1970)
holes <- nile[!nile$year %in% c(1880:1884, 1901, 1950:1952), ]
found <- NULL
for (set in c("all", "holes")) for (method in c("REML", "ML")) {
  fit <- gls(volume ~ I(year - 1920), data = list(all = nile, holes = holes)[[set]],
             correlation = corExp(form = ~ year, nugget = TRUE), method = method,
             control = glsControl(tolerance = 1e-10, msTol = 1e-12, maxIter = 500, msMaxIter = 500))
  structure <- coef(fit$modelStruct$corStruct, unconstrained = FALSE)
  values <- c(intercept = coef(fit)[[1]], slope = coef(fit)[[2]], slope_error = sqrt(vcov(fit)[2, 2]),
              sigma = fit$sigma * sqrt(structure[[2]]), tau = fit$sigma * sqrt(1 - structure[[2]]),
              rho = exp(-1 / structure[[1]]), log_likelihood = as.numeric(logLik(fit)))
  found <- rbind(found, data.frame(data = set, method = tolower(method), quantity = names(values), value = unname(values)))
}
write.csv(transform(found, value = signif(value, 10)), "autoregression.csv", row.names = FALSE, quote = FALSE)
cat(R.version.string, "nlme", as.character(packageVersion("nlme")), "\n")
