"""The topics this version claims: each needs at least one case in the registry."""

__all__ = ["TOPICS"]

TOPICS = {
    "logistic": "binary cross-entropy is minus the mean Bernoulli log-likelihood; gradient, "
    "Hessian, standard errors; finite for scores up to 1e4",
    "softmax-regression": "two-class softmax is logistic regression; gradient X'(S - Y)/N; the "
    "Hessian is singular along the shift of all scores",
    "normal-equation": "the solution, the minimum-norm answer, cond(X'X) = cond(X)^2, variance "
    "inflation 1/(1 - R_j^2); ridge restores rank",
    "l1-l2": "lasso's subgradient conditions and duality gap; ridge shrinks by s^2/(s^2 + n l2); "
    "the soft threshold is the prox of the L1 norm",
    "bayesian-regularization": "L2 is a Gaussian prior, L1 a Laplace prior, with the map from "
    "prior scale to penalty; the posterior's mode is the ridge or lasso"
    " solution",
    "mse-classification": "squared error after a sigmoid is not convex and its gradient vanishes "
    "where the prediction is most wrong",
    "convexity": "each loss and penalty is classified, with a certificate or a witness",
    "strong-convexity": "l2 shifts every eigenvalue of the Hessian; the rate (1 - mu/L)^t",
    "gradient-descent": "on a quadratic the error is (I - lr H)^t times the first; stable for lr <"
    " 2/L",
    "momentum": "velocity update; the companion matrix of each eigenvalue",
    "adam": "bias correction; the trajectory written out",
    "sgd": "mini-batch gradients are unbiased; their variance falls as 1/B, with the finite-"
    "population correction",
    "bias-variance": "the mean squared error is bias^2 + variance exactly, and with the noise "
    "within a standard error; both as the design implies for a mean, ridge and nearest neighbors",
    "class-weight": "weights n/(K n_c) equal replicated rows; the gradient is the weighted sum",
    "kfold": "folds partition the rows; weights as masks equal refits on subsets",
    "pca": "u'Su is stationary exactly at eigenvectors; explained variances are eigenvalues; the "
    "error of reconstruction is the sum of the others; the probabilistic model's likelihood",
    "naive-bayes": "the posterior from the product of likelihoods; counting estimates are the "
    "stationary point of the constrained log-likelihood",
    "kmeans": "the objective never increases over assignment and update steps; a centroid is a "
    "stationary point; only a local optimum: two inits end differently",
    "gmm": "responsibilities are the posterior; gradient of the log-likelihood by hand; k-means is "
    "the limit of vanishing variance",
    "em": "ELBO <= log-likelihood for any q, equal at the posterior; the M-step is the stationary "
    "point of the ELBO; the log-likelihood never decreases",
    "xavier": "forward and backward variance of signals through many layers by Xavier and He, "
    "within a stated standard error; variances of the weights of kernels of any rank",
    "batch-norm": "the gradient through the batch's mean and variance, three paths by hand; what "
    "dropping two of them costs, as a number; running moments of both conventions; a batch spread "
    "over an axis; layer normalization",
    "dropout": "E y = x and Var y = x^2 p/(1 - p) within a stated standard error; backward is the "
    "same mask",
    "conv1x1": "a window of one pixel is a product over channels with a matrix; both gradients of "
    "a convolution by hand, for every stride, padding, dilation and groups",
    "resnet": "dL/dx = dL/dH (dF/dx + I); the full backward of a block; gradient norm against "
    "depth, with and without skips; a block of gain 0 is relu",
    "attention": "Var(q'k) = d, and 1 once scaled; the slope of the softmax falls as (4 pi "
    "d)^(-1/2) without scaling and stays with it; backward for q, k, v and every parameter, "
    "masked, causal, in blocks; a query with nothing to attend to gives 0 and gradient 0",
    "positional-encoding": "PE(pos + k) = R(k) PE(pos) with one rotation for every position; R as "
    "found by least squares from any window of positions; R(j) R(k) = R(j + k)",
    "transformer": "backward of a block through layer norm, attention, perceptron and identities, "
    "for every parameter, pre- and post-norm; of a decoder from its loss to its embedding",
    "softmax": "shift invariance; Jacobian diag(s) - ss'; finite at 1e4 and with masked entries",
    "svm": "dual gradient Q a - 1; strong duality; KKT conditions; w = sum a_i y_i x_i; the dual "
    "touches data only through the kernel; hard margin as C grows on separable data",
    "kernel-trick": "the polynomial kernel is the inner product of an explicit feature map; every "
    "kernel's Gram matrix is positive semi-definite",
    "tsne": "gradient 4 sum (p - q)(y_i - y_j)/(1 + d^2); the perplexity of every row; KL(P||Q) "
    "where KL(Q||P) differs, as a number; tiles and graph = all pairs",
    "knn": "neighbors and predictions = brute force; squared distances of d normal coordinates "
    "spread by sqrt(2/d)",
    "lstm": "gate ranges; cell equations; back-propagation through time by hand equals autodiff "
    "for every parameter, the input and the state; padded steps change nothing",
    "max-pool": "the gradient goes to the winner only, of equal entries to the first; padding never"
    " wins; means spread it evenly",
    "vanishing-gradient": "sigma' <= 1/4; the gradient through L sigmoid layers is at most (1/4)^L "
    "prod ||W||; measured against ReLU and residual stacks",
    "decision-tree": "the splits chosen by Gini, entropy and variance are those of brute force "
    "over all thresholds; leaves are means and shares",
    "gini": "1 - sum p^2 is the chance that two draws differ; its gradient; the decrease of a "
    "split; importances sum to 1 and equal a recount over all splits of all trees",
    "boosting": "g and h by autodiff equal the hand forms; -G/(H + l2) is the argmin of the "
    "quadratic; the gain of a split is the difference of least objectives, by brute force",
    "adaboost": "alpha = 1/2 ln((1 - eps)/eps) is the root of dL/dalpha of the exponential loss, "
    "for K classes too; after the update the tree's weighted error is 1/2; the loss is prod 2 "
    "sqrt(eps (1 - eps)) and bounds the training error",
    "bagging": "the mean of B trees has variance rho v + (1 - rho) v/B: of forests without a split "
    "within a stated standard error",
    "auc": "trapezoids under the ROC = Mann-Whitney U/(n+ n-) = pairs counted, ties half, with "
    "weights; only the order of the scores counts; the soft AUC becomes it",
    "f1": "2PR/(P + R) = 2TP/(2TP + FP + FN) <= 2 min(P, R); what it is without positives; the "
    "soft F1 becomes it",
    "calibration": "expected calibration error bin by bin; Brier = reliability - resolution + "
    "uncertainty + what is left within bins; gradients of log loss and Brier",
    "r2": "1 - SS_res/SS_tot; never falls with a feature, while the adjusted one does if t^2 < 1",
    "scaling": "Jacobians of standard, min-max and robust scaling; how many outliers move each, as "
    "a number",
}
