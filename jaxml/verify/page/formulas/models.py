"""Equations of linear models, optimization, margins, trees, and structure without labels."""

__all__ = ["MODELS"]

MODELS = {
    "normal-equation": ("Normal equation", (
        r"X^\top X\, w = X^\top y",
        r"\operatorname{cond}(X^\top X) = \operatorname{cond}(X)^2",
        r"\operatorname{VIF}_j = \frac{1}{1 - R_j^2}",
    )),
    "l1-l2": ("L1 and L2 penalties", (
        r"\frac{1}{n} x_j^\top (y - Xw) \in \lambda_1\, \partial \left| w_j \right|",
        r"\operatorname{prox} z = \operatorname{sign} z\, \max(\left| z \right| - \lambda_1,\, 0)",
        r"v_i^\top w_{\mathrm{ridge}} = \frac{s_i^2}{s_i^2 + n \lambda_2}\; v_i^\top "
        r"w_{\mathrm{ls}}",
    )),
    "bayesian-regularization": ("Penalties as priors", (
        r"w_j \;\sim\; N(0, \tau^2) \;\Rightarrow\; \lambda_2 = \frac{\sigma^2}{n \tau^2}",
        r"w_j \;\sim\; \operatorname{Laplace}(0, b) \;\Rightarrow\; "
        r"\lambda_1 = \frac{\sigma^2}{n b}",
        r"\operatorname{argmax}_w\; p(w \mid y) = \operatorname{argmin}_w\; J(w)",
    )),
    "logistic": ("Logistic regression", (
        r"J = \frac{1}{N} \sum_i \ell_i, \quad p = \sigma(Xw)",
        r"\ell_i = -y_i \log p_i - (1 - y_i) \log (1 - p_i)",
        r"\nabla J = \frac{1}{N} X^\top (p - y)",
        r"\nabla^2 J = \frac{1}{N} X^\top D X, \quad D_{ii} = p_i (1 - p_i)",
    )),
    "softmax-regression": ("Softmax regression", (
        r"p_{ik} = \frac{e^{z_{ik}}}{\sum_l e^{z_{il}}}, \quad z_i = W^\top x_i",
        r"\nabla_W J = \frac{1}{N} X^\top (S - Y)",
        r"K = 2:\quad p_{i1} = \sigma\left( (w_1 - w_0)^\top x_i \right)",
    )),
    "mse-classification": ("Squared error after a sigmoid", (
        r"\ell(z) = \tfrac{1}{2} (\sigma(z) - y)^2",
        r"\ell'(z) = (\sigma - y)\, \sigma (1 - \sigma) \to 0 \quad (\left| z \right| \to \infty)",
        r"\ell_{\mathrm{CE}}' = \sigma - y, \quad \ell_{\mathrm{CE}}'' = \sigma (1 - \sigma) > 0",
    )),
    "class-weight": ("Class weights", (
        r"s_i = \frac{n}{K\, n_{y_i}}",
        r"\nabla J = \frac{1}{\sum_i s_i} \sum_i s_i \nabla \ell_i",
    )),
    "convexity": ("Convexity", (
        r"f(ta + (1 - t)b) \le t f(a) + (1 - t) f(b)",
        r"f \text{ convex} \;\iff\; \nabla^2 f \;\succeq\; 0",
    )),
    "strong-convexity": ("Strong convexity", (
        r"\lambda_i(\nabla^2 J + \lambda_2 I) = \lambda_i(\nabla^2 J) + \lambda_2",
        r"J(w_t) - J^* \le \left( 1 - \frac{\mu}{L} \right)^t (J(w_0) - J^*)",
    )),
    "gradient-descent": ("Gradient descent", (
        r"w_{t+1} = w_t - \eta \nabla J(w_t)",
        r"w_t - w^* = (I - \eta H)^t (w_0 - w^*)",
        r"\text{converges} \;\iff\; 0 < \eta < \frac{2}{L}",
    )),
    "momentum": ("Momentum", (
        r"v_{t+1} = \gamma v_t + \eta \nabla J(w_t), \quad w_{t+1} = w_t - v_{t+1}",
        r"\begin{pmatrix} e_{t+1} \\ e_t \end{pmatrix} = "
        r"\begin{pmatrix} 1 + \gamma - \eta h & -\gamma \\ 1 & 0 \end{pmatrix}"
        r"\begin{pmatrix} e_t \\ e_{t-1} \end{pmatrix}",
    )),
    "adam": ("Adam", (
        r"m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad E\, m_t = (1 - \beta_1^t)\, E\, g",
        r"\hat{m}_t = \frac{m_t}{1 - \beta_1^t}, \quad \hat{v}_t = \frac{v_t}{1 - \beta_2^t}",
        r"w_{t+1} = w_t - \eta \frac{\hat{m}_t}{\sqrt{\hat{v}_t} + \epsilon}",
    )),
    "sgd": ("Stochastic gradients", (
        r"E\, g_B = \nabla J",
        r"\operatorname{Var} g_B = \frac{n - B}{n - 1} \, \frac{\operatorname{Var} g_i}{B}",
    )),
    "svm": ("Support vector machine", (
        r"\max_\alpha\; \mathbf{1}^\top \alpha - \tfrac{1}{2} \alpha^\top Q \alpha, \quad "
        r"0 \le \alpha_i \le C,\; y^\top \alpha = 0",
        r"Q_{ij} = y_i y_j\, k(x_i, x_j), \quad w = \sum_i \alpha_i y_i x_i",
        r"\alpha_i > 0 \;\Rightarrow\; y_i f(x_i) \le 1",
    )),
    "kernel-trick": ("Kernel trick", (
        r"k(x, z) = \left( \gamma x^\top z + c \right)^p = \varphi(x)^\top \varphi(z)",
        r"K \;\succeq\; 0 \quad \text{for every set of rows}",
    )),
    "knn": ("Nearest neighbors", (
        r"\hat{y}(x) = \operatorname{argmax}_c \sum_{i \in N_k(x)} [y_i = c]",
        r"\frac{\operatorname{sd} \|x - z\|^2}{E \|x - z\|^2} = \sqrt{\frac{2}{d}}",
    )),
    "naive-bayes": ("Naive Bayes", (
        r"p(c \mid x) \;\propto\; \pi_c \prod_j p(x_j \mid c)",
        r"\hat{\pi}_c = \frac{n_c}{n}",
    )),
    "decision-tree": ("Decision tree", (
        r"\text{split} = \operatorname{argmax}_{j, t}\; \left[ n G(P) - n_L G(P_L) - n_R G(P_R) "
        r"\right]",
        r"G = 1 - \sum_c p_c^2, \quad -\sum_c p_c \log p_c, \quad \operatorname{Var} y",
    )),
    "gini": ("Random forest and Gini importance", (
        r"G(p) = 1 - \sum_c p_c^2",
        r"I_j \;\propto\; \sum_{\text{splits on } j} \left[ n G - n_L G_L - n_R G_R \right], "
        r"\quad \sum_j I_j = 1",
    )),
    "bagging": ("Bagging", (
        r"\operatorname{Var}\left( \frac{1}{B} \sum_b f_b \right) = "
        r"\rho s^2 + \frac{1 - \rho}{B} s^2",
    )),
    "boosting": ("Second-order boosting", (
        r"g_i = p_i - y_i, \quad h_i = p_i (1 - p_i)",
        r"w^* = -\frac{G}{H + \lambda}",
        r"\text{gain} = \tfrac{1}{2} \left[ \frac{G_L^2}{H_L + \lambda} + "
        r"\frac{G_R^2}{H_R + \lambda} - \frac{G^2}{H + \lambda} \right]",
    )),
    "adaboost": ("AdaBoost", (
        r"\alpha = \tfrac{1}{2} \ln \frac{1 - \varepsilon}{\varepsilon}",
        r"w_i \;\leftarrow\; w_i\, e^{-\alpha y_i h(x_i)} \;\Rightarrow\; "
        r"\sum_i w_i [h(x_i) \ne y_i] = \tfrac{1}{2} \sum_i w_i",
    )),
    "pca": ("Principal components", (
        r"\max_{\|u\| = 1} u^\top S u \;\Rightarrow\; S u = \lambda u",
        r"\frac{1}{n - 1} \sum_i \|x_i - \hat{x}_i\|^2 = \sum_{j > k} \lambda_j",
    )),
    "kmeans": ("k-means", (
        r"J = \sum_i \min_j \|x_i - c_j\|^2",
        r"c_j = \frac{1}{n_j} \sum_{l_i = j} x_i \;\Rightarrow\; \nabla_{c_j} J = 0",
    )),
    "gmm": ("Gaussian mixture", (
        r"r_{ij} = \frac{\pi_j N(x_i; \mu_j, \Sigma_j)}{\sum_l \pi_l N(x_i; \mu_l, \Sigma_l)}",
        r"\nabla_{\mu_j} L = \frac{1}{n} \sum_i r_{ij} \Sigma_j^{-1} (x_i - \mu_j)",
    )),
    "em": ("Expectation maximization", (
        r"\log p(x) \ge \sum_j q_j \log \frac{p(x, j)}{q_j}, \quad \text{equal at } q_j = p(j "
        r"\mid x)",
        r"L(\theta_{t+1}) \ge L(\theta_t)",
    )),
    "tsne": ("t-SNE", (
        r"C = \operatorname{KL}(P \| Q) = \sum_{i \ne j} p_{ij} \log \frac{p_{ij}}{q_{ij}}",
        r"\frac{\partial C}{\partial y_i} = "
        r"4 \sum_j \frac{(p_{ij} - q_{ij}) (y_i - y_j)}{1 + \|y_i - y_j\|^2}",
    )),
}  # fmt: skip
