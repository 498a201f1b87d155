# Curves by mgcv: natural cubic splines (bs = "cr"), how wiggly they are by REML.
suppressMessages(library(mgcv))
d <- na.omit(read.csv("SLID.csv", stringsAsFactors = TRUE, na.strings = c("", "NA"))[c("wages", "age", "sex", "language", "education")])
at <- data.frame(age = c(16, 25, 40, 55, 69), sex = "Female", language = "English", education = 12)
out <- NULL
keep <- function(fit, model) {
  found <- predict(model, at, se.fit = TRUE); curve <- found$fit
  values <- c(curve, sqrt(model$reml.scale), predict(model, transform(at[3, ], sex = "Male")) - curve[3], found$se.fit)
  out <<- rbind(out, data.frame(fit, quantity = c(paste("fitted", at$age), "sigma", "Male at 40", paste("error", at$age)), value = signif(values, 10)))
}
few <- list(epsilon = 1e-10)
keep("age", gam(log(wages) ~ s(age, bs = "cr", k = 10) + sex, data = d, method = "REML", control = few))
keep("age and education", gam(log(wages) ~ s(age, bs = "cr", k = 6) + s(education, bs = "cr", k = 8) + sex, data = d, method = "REML", control = few))
keep("age by sex", gam(log(wages) ~ sex + s(age, bs = "cr", k = 10, by = sex), data = d, method = "REML", control = few))
keep("in groups", gam(log(wages) ~ s(age, bs = "cr", k = 10) + sex + s(language, bs = "re"), data = d, method = "REML", control = few))
write.csv(out, "smooths.csv", row.names = FALSE)
print(R.version.string); print(packageVersion("mgcv"))
