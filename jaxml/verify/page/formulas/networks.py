"""Equations of layers and of signals through many of them."""

__all__ = ["NETWORKS"]

NETWORKS = {
    "xavier": ("Initialization", (
        r"\operatorname{Var} w = \frac{2}{n_{\mathrm{in}} + n_{\mathrm{out}}} \;\text{(Xavier)}, "
        r"\quad \frac{2}{n_{\mathrm{in}}} \;\text{(He, with ReLU)}",
        r"E\, z_l^2 = n_{\mathrm{in}} \operatorname{Var} w \; E\, h_{l-1}^2",
    )),
    "vanishing-gradient": ("Vanishing gradients", (
        r"\sigma'(z) = \sigma (1 - \sigma) \le \tfrac{1}{4}",
        r"\left\| \frac{\partial J}{\partial x} \right\| \le \left( \tfrac{1}{4} \right)^L "
        r"\prod_l \|W_l\|_2 \; \left\| \frac{\partial J}{\partial h_L} \right\|",
    )),
    "resnet": ("Residual connections", (
        r"H(x) = F(x) + x",
        r"\frac{\partial L}{\partial x} = "
        r"\frac{\partial L}{\partial H} \left( \frac{\partial F}{\partial x} + I \right)",
    )),
    "batch-norm": ("Batch normalization", (
        r"\hat{x}_i = \frac{x_i - \mu}{\sqrt{v + \epsilon}}",
        r"\frac{\partial L}{\partial x_i} = \frac{1}{\sqrt{v + \epsilon}} \left[ g_i - \bar{g} - "
        r"\hat{x}_i\, \overline{g \hat{x}} \right]",
    )),
    "dropout": ("Dropout", (
        r"y = \frac{m x}{1 - p}, \quad m \;\sim\; \operatorname{Bernoulli}(1 - p)",
        r"E\, y = x, \quad \operatorname{Var} y = x^2 \frac{p}{1 - p}",
    )),
    "conv1x1": ("Convolution, and a window of one pixel", (
        r"y_{ijc} = \sum_{a, b, k} W_{abkc}\; x_{i+a,\, j+b,\, k}",
        r"1 \times 1:\quad Y = X W \;\text{at every pixel}",
    )),
    "max-pool": ("Max pooling", (
        r"y = \max_{i \in \text{window}} x_i",
        r"\frac{\partial y}{\partial x_i} = [\, i = \min(\operatorname{argmax} x) \,]",
    )),
    "lstm": ("LSTM", (
        r"i, f, o = \sigma(W x_t + U h_{t-1} + b), \quad g = \tanh(\cdot)",
        r"c_t = f \odot c_{t-1} + i \odot g",
        r"h_t = o \odot \tanh(c_t)",
    )),
    "softmax": ("Softmax", (
        r"s(z + c) = s(z)",
        r"\frac{\partial s}{\partial z} = \operatorname{diag}(s) - s s^\top",
    )),
    "attention": ("Scaled dot-product attention", (
        r"A = \operatorname{softmax}\left( \frac{Q K^\top}{\sqrt{d}} \right) V",
        r"\operatorname{Var}(q^\top k) = d, \quad "
        r"\operatorname{Var}\left( \frac{q^\top k}{\sqrt{d}} \right) = 1",
        r"E\, \sigma'(q^\top (k_1 - k_2)) \approx (4 \pi d)^{-1/2}",
    )),
    "positional-encoding": ("Positional encoding", (
        r"\operatorname{PE}_{2i} = \sin(\omega_i\, t), \quad \operatorname{PE}_{2i+1} = "
        r"\cos(\omega_i\, t)",
        r"\operatorname{PE}(t + k) = R(k) \operatorname{PE}(t)",
        r"R(k) = \operatorname{blockdiag} "
        r"\begin{pmatrix} \cos \omega_i k & \sin \omega_i k \\ -\sin \omega_i k & \cos \omega_i k "
        r"\end{pmatrix}",
    )),
    "transformer": ("Transformer block", (
        r"\text{pre:}\quad h = x + \operatorname{Att}(\operatorname{LN} x), \quad "
        r"y = h + \operatorname{MLP}(\operatorname{LN} h)",
        r"\text{post:}\quad h = \operatorname{LN}(x + \operatorname{Att} x), \quad "
        r"y = \operatorname{LN}(h + \operatorname{MLP} h)",
    )),
}  # fmt: skip
