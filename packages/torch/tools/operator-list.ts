/**
 * The operators that get typed wrappers. Each line names overloads of one operator: `name` or `name.overload`, several
 * overloads of one name separated by spaces (a wrapper picks by the type of its argument). `wrapper = overload` renames.
 * An in-place variant (`add_`) is added whenever libtorch has one with the same overload; a
 * name that ends in an underscore is generated in place only. The headings are the categories of the API documentation.
 * Everything else stays callable through callOperator.
 */
export const operatorList = `
# arithmetic
add.Tensor add.Scalar
sub.Tensor sub.Scalar
mul.Tensor mul.Scalar
div.Tensor div.Scalar
rsub.Scalar
pow.Tensor_Scalar pow.Tensor_Tensor
neg
abs
sign
square
sqrt
rsqrt
reciprocal
exp
expm1
log
log1p
log2
log10
sin
cos
tan
asin
acos
atan
atan2
sinh
cosh
tanh
erf
erfc
erfinv
lgamma
digamma
floor
ceil
round
trunc
frac
clamp
clampMin = clamp_min
clampMax = clamp_max
maximum
minimum
remainder.Scalar remainder.Tensor
fmod.Scalar fmod.Tensor
floorDivide = floor_divide floor_divide.Scalar
addcmul
addcdiv
lerp.Scalar lerp.Tensor
nanToNum = nan_to_num
logaddexp
hypot
# comparison and logic
eq.Scalar eq.Tensor
ne.Scalar ne.Tensor
lt.Scalar lt.Tensor
le.Scalar le.Tensor
gt.Scalar gt.Tensor
ge.Scalar ge.Tensor
logical_and
logical_or
logical_xor
logical_not
bitwise_and.Tensor bitwise_and.Scalar
bitwise_or.Tensor bitwise_or.Scalar
bitwise_not
isnan
isinf
isfinite
equal
is_floating_point
allclose
where.self
masked_fill.Scalar masked_fill.Tensor
masked_select
# reductions
sum = sum.dim_IntList
mean = mean.dim
prod
prodAlong = prod.dim_int
amax
amin
max
maxAlong = max.dim
min
minAlong = min.dim
argmax
argmin
any
anyAlong = any.dim
all
allAlong = all.dim
norm = norm.ScalarOpt_dim
linalg_vector_norm
std = std.correction
var = var.correction
varMean = var_mean.correction
logsumexp
cumsum
cumprod
median
quantile.scalar quantile
histc
bincount
nonzero
count_nonzero
trace
dist
# shapes and views
view
reshape
expand
expand_as
permute
transpose = transpose.int
t
squeeze = squeeze.dim
unsqueeze
flatten = flatten.using_ints
unflatten = unflatten.int
select = select.int
slice = slice.Tensor
narrow
split = split.Tensor
splitWithSizes = split_with_sizes
chunk
unbind = unbind.int
unfold
diagonal
diag_embed
tril
triu
flip
roll
repeat
repeat_interleave = repeat_interleave.self_int
tile
contiguous
clone
detach
alias
as_strided
cat
stack
meshgrid = meshgrid.indexing
broadcastTensors = broadcast_tensors
viewAsReal = view_as_real
viewAsComplex = view_as_complex
real
imag
complex
# indexing
index = index.Tensor
index_put
index_select
index_add
index_copy
gather
scatter.src scatter.value
scatter_add
take
take_along_dim
masked_scatter
searchsorted = searchsorted.Tensor
one_hot
# sorting
sort
argsort
topk
unique = _unique2
# filling and copying
fill_.Scalar fill_.Tensor
zero_
copy_
setData = set_data
resize_
# create
empty = empty.memory_format
zeros
ones
full
arange = arange.start_step
linspace
logspace
eye
empty_like
zeros_like
ones_like
full_like
scalar_tensor
# random
randn = randn.generator
rand = rand.generator
randint = randint.low_generator
randperm = randperm.generator
randn_like
rand_like
normal_
uniform_
random_ = random_.from
bernoulli
bernoulliWith = bernoulli.p
bernoulli_ = bernoulli_.float
exponential_
multinomial
dropout
# linear algebra
mm
bmm
matmul
addmm
baddbmm
mv
dot
outer
einsum
cross
linalg_eigh
linalg_eigvalsh
linalg_svd
linalg_qr
linalg_cholesky
linalg_solve
linalg_inv
linalg_det
linalg_slogdet
linalg_norm
linalg_matrix_exp
cdist
# network layers
linear
conv1d
conv2d
conv2dSame = conv2d.padding
conv3d
convTranspose2d = conv_transpose2d.input
convolution
avg_pool2d
max_pool2d
adaptive_avg_pool2d
upsample_nearest2d
upsample_bilinear2d
upsample_bicubic2d
pixel_shuffle
pixel_unshuffle
pad
reflectionPad2d = reflection_pad2d
grid_sampler
affine_grid_generator
group_norm
layer_norm
batch_norm
instance_norm
embedding
relu
leaky_relu
elu
gelu
silu
mish
sigmoid
log_sigmoid
softplus
hardtanh
softmax = softmax.int
logSoftmax = log_softmax.int
# losses
mse_loss
l1_loss
smooth_l1_loss
huber_loss
cross_entropy_loss
nll_loss
binary_cross_entropy_with_logits
kl_div
# lists of tensors at once
foreachAdd = _foreach_add.List
foreachAddScalar = _foreach_add.Scalar
foreachMul = _foreach_mul.Scalar
foreachMulList = _foreach_mul.List
foreachDiv = _foreach_div.Scalar
foreachAddcmul = _foreach_addcmul.Scalar
foreachAddcdiv = _foreach_addcdiv.Scalar
foreachSqrt = _foreach_sqrt
foreachZero = _foreach_zero
foreachNorm = _foreach_norm.Scalar
# Fourier transforms
fft_fft
fft_ifft
fft_rfft
fft_irfft
fft_fft2
fft_ifft2
fft_rfft2
fft_irfft2
fft_fftn
fft_ifftn
fft_fftshift
fft_ifftshift
`;
