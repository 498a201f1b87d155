# Intersectional strata with lme4: Rscript strata.R > strata.csv
#
# Null and additive models of MAIHDA on open data of carData: wages of Canada's Survey of Labour and Income Dynamics
# (SLID, Gaussian) and "government does too much for the poor" in the World Values Survey (WVS, logit, Laplace).
# `quantity` is a name of bayesmig's summary, or the effect of a stratum in the additive model, its interaction.
suppressPackageStartupMessages({library(lme4); library(carData)})

rows <- NULL
note <- function(fit, quantity, value) rows <<- rbind(rows, data.frame(fit, quantity, value = signif(value, 9)))

summarise <- function(fit, null, additive, residual) {
  between <- sapply(list(null, additive), function(tree) VarCorr(tree)$stratum[1, 1])
  left <- sapply(list(null, additive), residual)
  note(fit, "variance_null", between[1])
  note(fit, "variance_additive", between[2])
  note(fit, "vpc_null", between[1] / (between[1] + left[1]))
  note(fit, "vpc_additive", between[2] / (between[2] + left[2]))
  note(fit, "pcv", 1 - between[2] / between[1])
  effects <- ranef(additive)$stratum
  for (name in rownames(effects)) note(fit, name, effects[name, 1])
}

wages <- na.omit(SLID)
wages$band <- cut(wages$age, c(15, 29, 39, 49, 99), c("16-29", "30-39", "40-49", "50+"))
wages$stratum <- with(wages, paste(sex, language, band, sep = ":"))
for (reml in c(FALSE, TRUE)) {
  null <- lmer(log(wages) ~ 1 + (1 | stratum), wages, REML = reml)
  additive <- lmer(log(wages) ~ sex + language + band + (1 | stratum), wages, REML = reml)
  summarise(if (reml) "slid_reml" else "slid_ml", null, additive, function(tree) sigma(tree)^2)
}

people <- WVS
people$much <- people$poverty == "Too Much"
people$band <- cut(people$age, c(17, 29, 44, 59, 99), c("18-29", "30-44", "45-59", "60+"))
people$stratum <- with(people, paste(country, gender, degree, band, sep = ":"))
null <- glmer(much ~ 1 + (1 | stratum), people, binomial)
additive <- glmer(much ~ country + gender + degree + band + (1 | stratum), people, binomial)
summarise("wvs_ml", null, additive, function(tree) pi^2 / 3)

write.csv(rows, row.names = FALSE, quote = FALSE)
