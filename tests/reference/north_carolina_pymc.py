"""The model of Besag, York and Mollie on North Carolina's counties, by PyMC's own ICAR; it writes what it found."""

if __name__ == "__main__":
    import arviz_stats
    import numpy as np
    import pandas as pd
    import pymc as pm

    data = pd.read_csv("../data/north_carolina.csv")
    names = list(data["county"])
    w = np.zeros((100, 100), dtype=int)
    for one, other in pd.read_csv("../data/north_carolina_pairs.csv").to_numpy():
        w[names.index(one), names.index(other)] = w[names.index(other), names.index(one)] = 1
    # zero of the graph is 1e-15 by rounding, which the usual cut-off of 1e-15 lets through
    inverse = np.linalg.pinv(np.diag(w.sum(axis=0)) - w, rcond=1e-10, hermitian=True)
    typical = np.sqrt(np.exp(np.log(np.diag(inverse)).mean()))
    share = (data["nonwhite_births"] / data["births"]).to_numpy()
    with pm.Model():
        level, slope = pm.Normal("level", -6, 3), pm.Normal("share", 0, 5)
        own, shared = pm.HalfNormal("tau_county", 1), pm.HalfNormal("tau_spatial(county)", 1)
        u = own * pm.Normal("z", shape=100)
        v = shared / typical * pm.ICAR("phi", W=w)
        eta = pm.Deterministic("eta", level + slope * (share - share.mean()) + u + v)
        pm.Deterministic("spatial", v)
        pm.Poisson("deaths", np.exp(eta + np.log(data["births"].to_numpy())), observed=data["deaths"])
        tree = pm.sample(10000, tune=3000, chains=4, cores=1, nuts_sampler="nutpie", target_accept=0.95, random_seed=1)
    print("typical sd of an area", typical)
    print("divergences", int(tree["sample_stats"]["diverging"].sum()))
    post = tree["posterior"].ds[["share", "tau_county", "tau_spatial(county)", "eta", "spatial"]]
    rows = []
    for name, array in post.data_vars.items():
        dim = next((d for d in array.dims if d not in ("chain", "draw")), None)
        for k in range(100) if dim else [0]:
            one = array.isel({dim: k}) if dim else array
            ess = float(arviz_stats.ess(one))
            called = f"{name}[{names[k]}]" if dim else name
            rows.append((called, float(one.mean()), float(one.std()), float(one.std()) / np.sqrt(ess), ess))
    out = pd.DataFrame(rows, columns=["quantity", "mean", "sd", "mcse_mean", "ess"])
    print(out["ess"].min(), float(arviz_stats.rhat(post).to_array().max()))
    out.drop(columns="ess").to_csv("north_carolina_pymc.csv", index=False, float_format="%.6g")
