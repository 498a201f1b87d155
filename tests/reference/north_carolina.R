# Sudden infant deaths in North Carolina by mgcv: a Markov random field (bs = "mrf") with effects of counties, by REML.
suppressMessages(library(mgcv))
d <- read.csv("../data/north_carolina.csv", stringsAsFactors = TRUE)
p <- read.csv("../data/north_carolina_pairs.csv", stringsAsFactors = FALSE)
d$share <- d$nonwhite_births / d$births
# gam wants more rows than coefficients: a county's births in three parts, which changes no Poisson likelihood
third <- d$deaths %/% 3
parts <- rbind(transform(d, deaths = third), transform(d, deaths = third), transform(d, deaths = deaths - 2 * third))
parts$births <- parts$births / 3
names <- levels(d$county)
nb <- setNames(lapply(names, function(a) match(c(p$neighbour[p$county == a], p$county[p$neighbour == a]), names)), names)
out <- NULL
keep <- function(fit, model) {
  s <- summary(model)
  at <- d[d$county %in% c("Anson", "Ashe", "Forsyth", "Mecklenburg", "Robeson"), ]
  eta <- predict(model, at, type = "link", se.fit = TRUE)
  v <- gam.vcomp(model)
  sds <- if (is.matrix(v)) v[, 1] else if (is.list(v)) v$vc[, 1] else v
  out <<- rbind(out,
    data.frame(fit, quantity = c("intercept", "share"), value = unname(coef(model)[c("(Intercept)", "share")]), error = unname(sqrt(diag(vcov(model, unconditional = TRUE)))[1:2])),
    data.frame(fit, quantity = paste("eta", at$county), value = as.numeric(eta$fit), error = as.numeric(eta$se.fit)),
    data.frame(fit, quantity = paste("sd", seq_along(sds)), value = unname(sds), error = NA))
}
few <- list(epsilon = 1e-10)
keep("neighbours", gam(deaths ~ share + offset(log(births)) + s(county, bs = "mrf", xt = list(nb = nb)), data = parts, family = poisson, method = "REML", control = few))
keep("neighbours and counties", gam(deaths ~ share + offset(log(births)) + s(county, bs = "mrf", xt = list(nb = nb)) + s(county, bs = "re"), data = parts, family = poisson, method = "REML", control = few))
out$value <- signif(out$value, 8); out$error <- signif(out$error, 8)
write.csv(out, "north_carolina.csv", row.names = FALSE)
