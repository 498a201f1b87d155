# A curve that begins anew by mgcv (bs = "cc"), how wiggly it is by REML: monthly deaths from lung diseases in the UK.
suppressMessages(library(mgcv))
d <- data.frame(deaths = as.numeric(datasets::ldeaths), month = rep(1:12, 6), year = rep(1974:1979, each = 12))
fit <- gam(log(deaths) ~ s(month, bs = "cc", k = 9) + I(year - 1976), data = d, method = "REML",
           knots = list(month = seq(1, 13, length.out = 9)), control = list(epsilon = 1e-10))
at <- data.frame(month = c(1, 2.5, 6, 11, 12.9), year = 1976)
found <- predict(fit, at, se.fit = TRUE)
values <- c(found$fit, found$se.fit, sigma = sqrt(fit$reml.scale))
names(values) <- c(paste("fitted", at$month), paste("error", at$month), "sigma")
write.csv(data.frame(quantity = names(values), value = signif(unname(values), 10)), "cyclic.csv", row.names = FALSE)
print(R.version.string); print(packageVersion("mgcv"))
