// Written by tools/generate-operators.ts from the schemas of libtorch 1.13.0. Do not edit.

import { call, handlesOf, operator, wrap, wrapAll } from "./dispatch.js";
import { type Device, type DType, dtypeCode, type MemoryFormat, memoryFormatCode, type Scalar } from "./dtype.js";
import type { Handle } from "./native.js";
import type { Generator } from "./random.js";
import type { Tensor } from "./tensor.js";

const ADD_TENSOR = operator("aten::add.Tensor");
const ADD_SCALAR = operator("aten::add.Scalar");
const ADD__TENSOR = operator("aten::add_.Tensor");
const ADD__SCALAR = operator("aten::add_.Scalar");
const SUB_TENSOR = operator("aten::sub.Tensor");
const SUB_SCALAR = operator("aten::sub.Scalar");
const SUB__TENSOR = operator("aten::sub_.Tensor");
const SUB__SCALAR = operator("aten::sub_.Scalar");
const MUL_TENSOR = operator("aten::mul.Tensor");
const MUL_SCALAR = operator("aten::mul.Scalar");
const MUL__TENSOR = operator("aten::mul_.Tensor");
const MUL__SCALAR = operator("aten::mul_.Scalar");
const DIV_TENSOR = operator("aten::div.Tensor");
const DIV_SCALAR = operator("aten::div.Scalar");
const DIV__TENSOR = operator("aten::div_.Tensor");
const DIV__SCALAR = operator("aten::div_.Scalar");
const RSUB_SCALAR = operator("aten::rsub.Scalar");
const POW_TENSOR_TENSOR = operator("aten::pow.Tensor_Tensor");
const POW_TENSOR_SCALAR = operator("aten::pow.Tensor_Scalar");
const NEG = operator("aten::neg");
const NEG_ = operator("aten::neg_");
const ABS = operator("aten::abs");
const ABS_ = operator("aten::abs_");
const SIGN = operator("aten::sign");
const SIGN_ = operator("aten::sign_");
const SQUARE = operator("aten::square");
const SQUARE_ = operator("aten::square_");
const SQRT = operator("aten::sqrt");
const SQRT_ = operator("aten::sqrt_");
const RSQRT = operator("aten::rsqrt");
const RSQRT_ = operator("aten::rsqrt_");
const RECIPROCAL = operator("aten::reciprocal");
const RECIPROCAL_ = operator("aten::reciprocal_");
const EXP = operator("aten::exp");
const EXP_ = operator("aten::exp_");
const EXPM1 = operator("aten::expm1");
const EXPM1_ = operator("aten::expm1_");
const LOG = operator("aten::log");
const LOG_ = operator("aten::log_");
const LOG1P = operator("aten::log1p");
const LOG1P_ = operator("aten::log1p_");
const LOG2 = operator("aten::log2");
const LOG2_ = operator("aten::log2_");
const LOG10 = operator("aten::log10");
const LOG10_ = operator("aten::log10_");
const SIN = operator("aten::sin");
const SIN_ = operator("aten::sin_");
const COS = operator("aten::cos");
const COS_ = operator("aten::cos_");
const TAN = operator("aten::tan");
const TAN_ = operator("aten::tan_");
const ASIN = operator("aten::asin");
const ASIN_ = operator("aten::asin_");
const ACOS = operator("aten::acos");
const ACOS_ = operator("aten::acos_");
const ATAN = operator("aten::atan");
const ATAN_ = operator("aten::atan_");
const ATAN2 = operator("aten::atan2");
const ATAN2_ = operator("aten::atan2_");
const SINH = operator("aten::sinh");
const SINH_ = operator("aten::sinh_");
const COSH = operator("aten::cosh");
const COSH_ = operator("aten::cosh_");
const TANH = operator("aten::tanh");
const TANH_ = operator("aten::tanh_");
const ERF = operator("aten::erf");
const ERF_ = operator("aten::erf_");
const ERFC = operator("aten::erfc");
const ERFC_ = operator("aten::erfc_");
const ERFINV = operator("aten::erfinv");
const ERFINV_ = operator("aten::erfinv_");
const LGAMMA = operator("aten::lgamma");
const LGAMMA_ = operator("aten::lgamma_");
const DIGAMMA = operator("aten::digamma");
const DIGAMMA_ = operator("aten::digamma_");
const FLOOR = operator("aten::floor");
const FLOOR_ = operator("aten::floor_");
const CEIL = operator("aten::ceil");
const CEIL_ = operator("aten::ceil_");
const ROUND = operator("aten::round");
const ROUND_ = operator("aten::round_");
const TRUNC = operator("aten::trunc");
const TRUNC_ = operator("aten::trunc_");
const FRAC = operator("aten::frac");
const FRAC_ = operator("aten::frac_");
const CLAMP = operator("aten::clamp");
const CLAMP_ = operator("aten::clamp_");
const CLAMP_MIN = operator("aten::clamp_min");
const CLAMP_MIN_ = operator("aten::clamp_min_");
const CLAMP_MAX = operator("aten::clamp_max");
const CLAMP_MAX_ = operator("aten::clamp_max_");
const MAXIMUM = operator("aten::maximum");
const MINIMUM = operator("aten::minimum");
const REMAINDER_TENSOR = operator("aten::remainder.Tensor");
const REMAINDER_SCALAR = operator("aten::remainder.Scalar");
const REMAINDER__TENSOR = operator("aten::remainder_.Tensor");
const REMAINDER__SCALAR = operator("aten::remainder_.Scalar");
const FMOD_TENSOR = operator("aten::fmod.Tensor");
const FMOD_SCALAR = operator("aten::fmod.Scalar");
const FMOD__TENSOR = operator("aten::fmod_.Tensor");
const FMOD__SCALAR = operator("aten::fmod_.Scalar");
const FLOOR_DIVIDE = operator("aten::floor_divide");
const FLOOR_DIVIDE_SCALAR = operator("aten::floor_divide.Scalar");
const ADDCMUL = operator("aten::addcmul");
const ADDCMUL_ = operator("aten::addcmul_");
const ADDCDIV = operator("aten::addcdiv");
const ADDCDIV_ = operator("aten::addcdiv_");
const LERP_TENSOR = operator("aten::lerp.Tensor");
const LERP_SCALAR = operator("aten::lerp.Scalar");
const LERP__TENSOR = operator("aten::lerp_.Tensor");
const LERP__SCALAR = operator("aten::lerp_.Scalar");
const NAN_TO_NUM = operator("aten::nan_to_num");
const NAN_TO_NUM_ = operator("aten::nan_to_num_");
const LOGADDEXP = operator("aten::logaddexp");
const HYPOT = operator("aten::hypot");
const HYPOT_ = operator("aten::hypot_");
const EQ_TENSOR = operator("aten::eq.Tensor");
const EQ_SCALAR = operator("aten::eq.Scalar");
const EQ__TENSOR = operator("aten::eq_.Tensor");
const EQ__SCALAR = operator("aten::eq_.Scalar");
const NE_TENSOR = operator("aten::ne.Tensor");
const NE_SCALAR = operator("aten::ne.Scalar");
const NE__TENSOR = operator("aten::ne_.Tensor");
const NE__SCALAR = operator("aten::ne_.Scalar");
const LT_TENSOR = operator("aten::lt.Tensor");
const LT_SCALAR = operator("aten::lt.Scalar");
const LT__TENSOR = operator("aten::lt_.Tensor");
const LT__SCALAR = operator("aten::lt_.Scalar");
const LE_TENSOR = operator("aten::le.Tensor");
const LE_SCALAR = operator("aten::le.Scalar");
const LE__TENSOR = operator("aten::le_.Tensor");
const LE__SCALAR = operator("aten::le_.Scalar");
const GT_TENSOR = operator("aten::gt.Tensor");
const GT_SCALAR = operator("aten::gt.Scalar");
const GT__TENSOR = operator("aten::gt_.Tensor");
const GT__SCALAR = operator("aten::gt_.Scalar");
const GE_TENSOR = operator("aten::ge.Tensor");
const GE_SCALAR = operator("aten::ge.Scalar");
const GE__TENSOR = operator("aten::ge_.Tensor");
const GE__SCALAR = operator("aten::ge_.Scalar");
const LOGICAL_AND = operator("aten::logical_and");
const LOGICAL_AND_ = operator("aten::logical_and_");
const LOGICAL_OR = operator("aten::logical_or");
const LOGICAL_OR_ = operator("aten::logical_or_");
const LOGICAL_XOR = operator("aten::logical_xor");
const LOGICAL_XOR_ = operator("aten::logical_xor_");
const LOGICAL_NOT = operator("aten::logical_not");
const LOGICAL_NOT_ = operator("aten::logical_not_");
const BITWISE_AND_TENSOR = operator("aten::bitwise_and.Tensor");
const BITWISE_AND_SCALAR = operator("aten::bitwise_and.Scalar");
const BITWISE_AND__TENSOR = operator("aten::bitwise_and_.Tensor");
const BITWISE_AND__SCALAR = operator("aten::bitwise_and_.Scalar");
const BITWISE_OR_TENSOR = operator("aten::bitwise_or.Tensor");
const BITWISE_OR_SCALAR = operator("aten::bitwise_or.Scalar");
const BITWISE_OR__TENSOR = operator("aten::bitwise_or_.Tensor");
const BITWISE_OR__SCALAR = operator("aten::bitwise_or_.Scalar");
const BITWISE_NOT = operator("aten::bitwise_not");
const BITWISE_NOT_ = operator("aten::bitwise_not_");
const ISNAN = operator("aten::isnan");
const ISINF = operator("aten::isinf");
const ISFINITE = operator("aten::isfinite");
const EQUAL = operator("aten::equal");
const IS_FLOATING_POINT = operator("aten::is_floating_point");
const ALLCLOSE = operator("aten::allclose");
const WHERE_SELF = operator("aten::where.self");
const MASKED_FILL_TENSOR = operator("aten::masked_fill.Tensor");
const MASKED_FILL_SCALAR = operator("aten::masked_fill.Scalar");
const MASKED_FILL__TENSOR = operator("aten::masked_fill_.Tensor");
const MASKED_FILL__SCALAR = operator("aten::masked_fill_.Scalar");
const MASKED_SELECT = operator("aten::masked_select");
const SUM_DIM_INTLIST = operator("aten::sum.dim_IntList");
const MEAN_DIM = operator("aten::mean.dim");
const PROD = operator("aten::prod");
const PROD_DIM_INT = operator("aten::prod.dim_int");
const AMAX = operator("aten::amax");
const AMIN = operator("aten::amin");
const MAX = operator("aten::max");
const MAX_DIM = operator("aten::max.dim");
const MIN = operator("aten::min");
const MIN_DIM = operator("aten::min.dim");
const ARGMAX = operator("aten::argmax");
const ARGMIN = operator("aten::argmin");
const ANY = operator("aten::any");
const ANY_DIM = operator("aten::any.dim");
const ALL = operator("aten::all");
const ALL_DIM = operator("aten::all.dim");
const NORM_SCALAROPT_DIM = operator("aten::norm.ScalarOpt_dim");
const LINALG_VECTOR_NORM = operator("aten::linalg_vector_norm");
const STD_CORRECTION = operator("aten::std.correction");
const VAR_CORRECTION = operator("aten::var.correction");
const VAR_MEAN_CORRECTION = operator("aten::var_mean.correction");
const LOGSUMEXP = operator("aten::logsumexp");
const CUMSUM = operator("aten::cumsum");
const CUMSUM_ = operator("aten::cumsum_");
const CUMPROD = operator("aten::cumprod");
const CUMPROD_ = operator("aten::cumprod_");
const MEDIAN = operator("aten::median");
const QUANTILE = operator("aten::quantile");
const QUANTILE_SCALAR = operator("aten::quantile.scalar");
const HISTC = operator("aten::histc");
const BINCOUNT = operator("aten::bincount");
const NONZERO = operator("aten::nonzero");
const COUNT_NONZERO = operator("aten::count_nonzero");
const TRACE = operator("aten::trace");
const DIST = operator("aten::dist");
const VIEW = operator("aten::view");
const RESHAPE = operator("aten::reshape");
const EXPAND = operator("aten::expand");
const EXPAND_AS = operator("aten::expand_as");
const PERMUTE = operator("aten::permute");
const TRANSPOSE_INT = operator("aten::transpose.int");
const T = operator("aten::t");
const T_ = operator("aten::t_");
const SQUEEZE_DIM = operator("aten::squeeze.dim");
const SQUEEZE__DIM = operator("aten::squeeze_.dim");
const UNSQUEEZE = operator("aten::unsqueeze");
const UNSQUEEZE_ = operator("aten::unsqueeze_");
const FLATTEN_USING_INTS = operator("aten::flatten.using_ints");
const UNFLATTEN_INT = operator("aten::unflatten.int");
const SELECT_INT = operator("aten::select.int");
const SLICE_TENSOR = operator("aten::slice.Tensor");
const NARROW = operator("aten::narrow");
const SPLIT_TENSOR = operator("aten::split.Tensor");
const SPLIT_WITH_SIZES = operator("aten::split_with_sizes");
const CHUNK = operator("aten::chunk");
const UNBIND_INT = operator("aten::unbind.int");
const UNFOLD = operator("aten::unfold");
const DIAGONAL = operator("aten::diagonal");
const DIAG_EMBED = operator("aten::diag_embed");
const TRIL = operator("aten::tril");
const TRIL_ = operator("aten::tril_");
const TRIU = operator("aten::triu");
const TRIU_ = operator("aten::triu_");
const FLIP = operator("aten::flip");
const ROLL = operator("aten::roll");
const REPEAT = operator("aten::repeat");
const REPEAT_INTERLEAVE_SELF_INT = operator("aten::repeat_interleave.self_int");
const TILE = operator("aten::tile");
const CONTIGUOUS = operator("aten::contiguous");
const CLONE = operator("aten::clone");
const DETACH = operator("aten::detach");
const DETACH_ = operator("aten::detach_");
const ALIAS = operator("aten::alias");
const AS_STRIDED = operator("aten::as_strided");
const AS_STRIDED_ = operator("aten::as_strided_");
const CAT = operator("aten::cat");
const STACK = operator("aten::stack");
const MESHGRID_INDEXING = operator("aten::meshgrid.indexing");
const BROADCAST_TENSORS = operator("aten::broadcast_tensors");
const VIEW_AS_REAL = operator("aten::view_as_real");
const VIEW_AS_COMPLEX = operator("aten::view_as_complex");
const REAL = operator("aten::real");
const IMAG = operator("aten::imag");
const COMPLEX = operator("aten::complex");
const INDEX_TENSOR = operator("aten::index.Tensor");
const INDEX_PUT = operator("aten::index_put");
const INDEX_PUT_ = operator("aten::index_put_");
const INDEX_SELECT = operator("aten::index_select");
const INDEX_ADD = operator("aten::index_add");
const INDEX_ADD_ = operator("aten::index_add_");
const INDEX_COPY = operator("aten::index_copy");
const INDEX_COPY_ = operator("aten::index_copy_");
const GATHER = operator("aten::gather");
const SCATTER_SRC = operator("aten::scatter.src");
const SCATTER_VALUE = operator("aten::scatter.value");
const SCATTER__SRC = operator("aten::scatter_.src");
const SCATTER__VALUE = operator("aten::scatter_.value");
const SCATTER_ADD = operator("aten::scatter_add");
const SCATTER_ADD_ = operator("aten::scatter_add_");
const TAKE = operator("aten::take");
const TAKE_ALONG_DIM = operator("aten::take_along_dim");
const MASKED_SCATTER = operator("aten::masked_scatter");
const MASKED_SCATTER_ = operator("aten::masked_scatter_");
const SEARCHSORTED_TENSOR = operator("aten::searchsorted.Tensor");
const ONE_HOT = operator("aten::one_hot");
const SORT = operator("aten::sort");
const ARGSORT = operator("aten::argsort");
const TOPK = operator("aten::topk");
const UNIQUE2 = operator("aten::_unique2");
const FILL__TENSOR = operator("aten::fill_.Tensor");
const FILL__SCALAR = operator("aten::fill_.Scalar");
const ZERO_ = operator("aten::zero_");
const COPY_ = operator("aten::copy_");
const SET_DATA = operator("aten::set_data");
const RESIZE_ = operator("aten::resize_");
const EMPTY_MEMORY_FORMAT = operator("aten::empty.memory_format");
const ZEROS = operator("aten::zeros");
const ONES = operator("aten::ones");
const FULL = operator("aten::full");
const ARANGE_START_STEP = operator("aten::arange.start_step");
const LINSPACE = operator("aten::linspace");
const LOGSPACE = operator("aten::logspace");
const EYE = operator("aten::eye");
const EMPTY_LIKE = operator("aten::empty_like");
const ZEROS_LIKE = operator("aten::zeros_like");
const ONES_LIKE = operator("aten::ones_like");
const FULL_LIKE = operator("aten::full_like");
const SCALAR_TENSOR = operator("aten::scalar_tensor");
const RANDN_GENERATOR = operator("aten::randn.generator");
const RAND_GENERATOR = operator("aten::rand.generator");
const RANDINT_LOW_GENERATOR = operator("aten::randint.low_generator");
const RANDPERM_GENERATOR = operator("aten::randperm.generator");
const RANDN_LIKE = operator("aten::randn_like");
const RAND_LIKE = operator("aten::rand_like");
const NORMAL_ = operator("aten::normal_");
const UNIFORM_ = operator("aten::uniform_");
const RANDOM__FROM = operator("aten::random_.from");
const BERNOULLI = operator("aten::bernoulli");
const BERNOULLI_P = operator("aten::bernoulli.p");
const BERNOULLI__FLOAT = operator("aten::bernoulli_.float");
const EXPONENTIAL_ = operator("aten::exponential_");
const MULTINOMIAL = operator("aten::multinomial");
const DROPOUT = operator("aten::dropout");
const DROPOUT_ = operator("aten::dropout_");
const MM = operator("aten::mm");
const BMM = operator("aten::bmm");
const MATMUL = operator("aten::matmul");
const ADDMM = operator("aten::addmm");
const ADDMM_ = operator("aten::addmm_");
const BADDBMM = operator("aten::baddbmm");
const BADDBMM_ = operator("aten::baddbmm_");
const MV = operator("aten::mv");
const DOT = operator("aten::dot");
const OUTER = operator("aten::outer");
const EINSUM = operator("aten::einsum");
const CROSS = operator("aten::cross");
const LINALG_EIGH = operator("aten::linalg_eigh");
const LINALG_EIGVALSH = operator("aten::linalg_eigvalsh");
const LINALG_SVD = operator("aten::linalg_svd");
const LINALG_QR = operator("aten::linalg_qr");
const LINALG_CHOLESKY = operator("aten::linalg_cholesky");
const LINALG_SOLVE = operator("aten::linalg_solve");
const LINALG_INV = operator("aten::linalg_inv");
const LINALG_DET = operator("aten::linalg_det");
const LINALG_SLOGDET = operator("aten::linalg_slogdet");
const LINALG_NORM = operator("aten::linalg_norm");
const LINALG_MATRIX_EXP = operator("aten::linalg_matrix_exp");
const CDIST = operator("aten::cdist");
const LINEAR = operator("aten::linear");
const CONV1D = operator("aten::conv1d");
const CONV2D = operator("aten::conv2d");
const CONV2D_PADDING = operator("aten::conv2d.padding");
const CONV3D = operator("aten::conv3d");
const CONV_TRANSPOSE2D_INPUT = operator("aten::conv_transpose2d.input");
const CONVOLUTION = operator("aten::convolution");
const AVG_POOL2D = operator("aten::avg_pool2d");
const MAX_POOL2D = operator("aten::max_pool2d");
const ADAPTIVE_AVG_POOL2D = operator("aten::adaptive_avg_pool2d");
const UPSAMPLE_NEAREST2D = operator("aten::upsample_nearest2d");
const UPSAMPLE_BILINEAR2D = operator("aten::upsample_bilinear2d");
const UPSAMPLE_BICUBIC2D = operator("aten::upsample_bicubic2d");
const PIXEL_SHUFFLE = operator("aten::pixel_shuffle");
const PIXEL_UNSHUFFLE = operator("aten::pixel_unshuffle");
const PAD = operator("aten::pad");
const REFLECTION_PAD2D = operator("aten::reflection_pad2d");
const GRID_SAMPLER = operator("aten::grid_sampler");
const AFFINE_GRID_GENERATOR = operator("aten::affine_grid_generator");
const GROUP_NORM = operator("aten::group_norm");
const LAYER_NORM = operator("aten::layer_norm");
const BATCH_NORM = operator("aten::batch_norm");
const INSTANCE_NORM = operator("aten::instance_norm");
const EMBEDDING = operator("aten::embedding");
const RELU = operator("aten::relu");
const RELU_ = operator("aten::relu_");
const LEAKY_RELU = operator("aten::leaky_relu");
const LEAKY_RELU_ = operator("aten::leaky_relu_");
const ELU = operator("aten::elu");
const ELU_ = operator("aten::elu_");
const GELU = operator("aten::gelu");
const GELU_ = operator("aten::gelu_");
const SILU = operator("aten::silu");
const SILU_ = operator("aten::silu_");
const MISH = operator("aten::mish");
const MISH_ = operator("aten::mish_");
const SIGMOID = operator("aten::sigmoid");
const SIGMOID_ = operator("aten::sigmoid_");
const LOG_SIGMOID = operator("aten::log_sigmoid");
const SOFTPLUS = operator("aten::softplus");
const HARDTANH = operator("aten::hardtanh");
const HARDTANH_ = operator("aten::hardtanh_");
const SOFTMAX_INT = operator("aten::softmax.int");
const LOG_SOFTMAX_INT = operator("aten::log_softmax.int");
const MSE_LOSS = operator("aten::mse_loss");
const L1_LOSS = operator("aten::l1_loss");
const SMOOTH_L1_LOSS = operator("aten::smooth_l1_loss");
const HUBER_LOSS = operator("aten::huber_loss");
const CROSS_ENTROPY_LOSS = operator("aten::cross_entropy_loss");
const NLL_LOSS = operator("aten::nll_loss");
const BINARY_CROSS_ENTROPY_WITH_LOGITS = operator("aten::binary_cross_entropy_with_logits");
const KL_DIV = operator("aten::kl_div");
const FOREACH_ADD_LIST = operator("aten::_foreach_add.List");
const FOREACH_ADD__LIST = operator("aten::_foreach_add_.List");
const FOREACH_ADD_SCALAR = operator("aten::_foreach_add.Scalar");
const FOREACH_ADD__SCALAR = operator("aten::_foreach_add_.Scalar");
const FOREACH_MUL_SCALAR = operator("aten::_foreach_mul.Scalar");
const FOREACH_MUL__SCALAR = operator("aten::_foreach_mul_.Scalar");
const FOREACH_MUL_LIST = operator("aten::_foreach_mul.List");
const FOREACH_MUL__LIST = operator("aten::_foreach_mul_.List");
const FOREACH_DIV_SCALAR = operator("aten::_foreach_div.Scalar");
const FOREACH_DIV__SCALAR = operator("aten::_foreach_div_.Scalar");
const FOREACH_ADDCMUL_SCALAR = operator("aten::_foreach_addcmul.Scalar");
const FOREACH_ADDCMUL__SCALAR = operator("aten::_foreach_addcmul_.Scalar");
const FOREACH_ADDCDIV_SCALAR = operator("aten::_foreach_addcdiv.Scalar");
const FOREACH_ADDCDIV__SCALAR = operator("aten::_foreach_addcdiv_.Scalar");
const FOREACH_SQRT = operator("aten::_foreach_sqrt");
const FOREACH_SQRT_ = operator("aten::_foreach_sqrt_");
const FOREACH_ZERO = operator("aten::_foreach_zero");
const FOREACH_ZERO_ = operator("aten::_foreach_zero_");
const FOREACH_NORM_SCALAR = operator("aten::_foreach_norm.Scalar");
const FFT_FFT = operator("aten::fft_fft");
const FFT_IFFT = operator("aten::fft_ifft");
const FFT_RFFT = operator("aten::fft_rfft");
const FFT_IRFFT = operator("aten::fft_irfft");
const FFT_FFT2 = operator("aten::fft_fft2");
const FFT_IFFT2 = operator("aten::fft_ifft2");
const FFT_RFFT2 = operator("aten::fft_rfft2");
const FFT_IRFFT2 = operator("aten::fft_irfft2");
const FFT_FFTN = operator("aten::fft_fftn");
const FFT_IFFTN = operator("aten::fft_ifftn");
const FFT_FFTSHIFT = operator("aten::fft_fftshift");
const FFT_IFFTSHIFT = operator("aten::fft_ifftshift");

/** The operators whose first argument is a tensor. The doc line of each is libtorch's schema. */
export abstract class Operators {
  /** The addon's number for the tensor. */
  abstract readonly handle: Handle;

  /** `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` or `aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` @category arithmetic */
  add(other: Tensor | Scalar, options: { alpha?: Scalar | undefined } = {}): Tensor {
    if (other instanceof Operators) {
      return wrap(call(ADD_TENSOR, this.handle, other.handle, options.alpha));
    }
    return wrap(call(ADD_SCALAR, this.handle, other, options.alpha));
  }

  /** `aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)` or `aten::add_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)` @category arithmetic */
  add_(other: Tensor | Scalar, options: { alpha?: Scalar | undefined } = {}): this {
    if (other instanceof Operators) {
      call(ADD__TENSOR, this.handle, other.handle, options.alpha);
      return this;
    }
    call(ADD__SCALAR, this.handle, other, options.alpha);
    return this;
  }

  /** `aten::sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor` or `aten::sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` @category arithmetic */
  sub(other: Tensor | Scalar, options: { alpha?: Scalar | undefined } = {}): Tensor {
    if (other instanceof Operators) {
      return wrap(call(SUB_TENSOR, this.handle, other.handle, options.alpha));
    }
    return wrap(call(SUB_SCALAR, this.handle, other, options.alpha));
  }

  /** `aten::sub_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)` or `aten::sub_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)` @category arithmetic */
  sub_(other: Tensor | Scalar, options: { alpha?: Scalar | undefined } = {}): this {
    if (other instanceof Operators) {
      call(SUB__TENSOR, this.handle, other.handle, options.alpha);
      return this;
    }
    call(SUB__SCALAR, this.handle, other, options.alpha);
    return this;
  }

  /** `aten::mul.Tensor(Tensor self, Tensor other) -> Tensor` or `aten::mul.Scalar(Tensor self, Scalar other) -> Tensor` @category arithmetic */
  mul(other: Tensor | Scalar): Tensor {
    if (other instanceof Operators) {
      return wrap(call(MUL_TENSOR, this.handle, other.handle));
    }
    return wrap(call(MUL_SCALAR, this.handle, other));
  }

  /** `aten::mul_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` or `aten::mul_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` @category arithmetic */
  mul_(other: Tensor | Scalar): this {
    if (other instanceof Operators) {
      call(MUL__TENSOR, this.handle, other.handle);
      return this;
    }
    call(MUL__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::div.Tensor(Tensor self, Tensor other) -> Tensor` or `aten::div.Scalar(Tensor self, Scalar other) -> Tensor` @category arithmetic */
  div(other: Tensor | Scalar): Tensor {
    if (other instanceof Operators) {
      return wrap(call(DIV_TENSOR, this.handle, other.handle));
    }
    return wrap(call(DIV_SCALAR, this.handle, other));
  }

  /** `aten::div_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` or `aten::div_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` @category arithmetic */
  div_(other: Tensor | Scalar): this {
    if (other instanceof Operators) {
      call(DIV__TENSOR, this.handle, other.handle);
      return this;
    }
    call(DIV__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor` @category arithmetic */
  rsub(other: Scalar, alpha?: Scalar): Tensor {
    return wrap(call(RSUB_SCALAR, this.handle, other, alpha));
  }

  /** `aten::pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor` or `aten::pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor` @category arithmetic */
  pow(exponent: Scalar | Tensor): Tensor {
    if (exponent instanceof Operators) {
      return wrap(call(POW_TENSOR_TENSOR, this.handle, exponent.handle));
    }
    return wrap(call(POW_TENSOR_SCALAR, this.handle, exponent));
  }

  /** `aten::neg(Tensor self) -> Tensor` @category arithmetic */
  neg(): Tensor {
    return wrap(call(NEG, this.handle));
  }

  /** `aten::neg_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  neg_(): this {
    call(NEG_, this.handle);
    return this;
  }

  /** `aten::abs(Tensor self) -> Tensor` @category arithmetic */
  abs(): Tensor {
    return wrap(call(ABS, this.handle));
  }

  /** `aten::abs_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  abs_(): this {
    call(ABS_, this.handle);
    return this;
  }

  /** `aten::sign(Tensor self) -> Tensor` @category arithmetic */
  sign(): Tensor {
    return wrap(call(SIGN, this.handle));
  }

  /** `aten::sign_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  sign_(): this {
    call(SIGN_, this.handle);
    return this;
  }

  /** `aten::square(Tensor self) -> Tensor` @category arithmetic */
  square(): Tensor {
    return wrap(call(SQUARE, this.handle));
  }

  /** `aten::square_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  square_(): this {
    call(SQUARE_, this.handle);
    return this;
  }

  /** `aten::sqrt(Tensor self) -> Tensor` @category arithmetic */
  sqrt(): Tensor {
    return wrap(call(SQRT, this.handle));
  }

  /** `aten::sqrt_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  sqrt_(): this {
    call(SQRT_, this.handle);
    return this;
  }

  /** `aten::rsqrt(Tensor self) -> Tensor` @category arithmetic */
  rsqrt(): Tensor {
    return wrap(call(RSQRT, this.handle));
  }

  /** `aten::rsqrt_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  rsqrt_(): this {
    call(RSQRT_, this.handle);
    return this;
  }

  /** `aten::reciprocal(Tensor self) -> Tensor` @category arithmetic */
  reciprocal(): Tensor {
    return wrap(call(RECIPROCAL, this.handle));
  }

  /** `aten::reciprocal_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  reciprocal_(): this {
    call(RECIPROCAL_, this.handle);
    return this;
  }

  /** `aten::exp(Tensor self) -> Tensor` @category arithmetic */
  exp(): Tensor {
    return wrap(call(EXP, this.handle));
  }

  /** `aten::exp_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  exp_(): this {
    call(EXP_, this.handle);
    return this;
  }

  /** `aten::expm1(Tensor self) -> Tensor` @category arithmetic */
  expm1(): Tensor {
    return wrap(call(EXPM1, this.handle));
  }

  /** `aten::expm1_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  expm1_(): this {
    call(EXPM1_, this.handle);
    return this;
  }

  /** `aten::log(Tensor self) -> Tensor` @category arithmetic */
  log(): Tensor {
    return wrap(call(LOG, this.handle));
  }

  /** `aten::log_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  log_(): this {
    call(LOG_, this.handle);
    return this;
  }

  /** `aten::log1p(Tensor self) -> Tensor` @category arithmetic */
  log1p(): Tensor {
    return wrap(call(LOG1P, this.handle));
  }

  /** `aten::log1p_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  log1p_(): this {
    call(LOG1P_, this.handle);
    return this;
  }

  /** `aten::log2(Tensor self) -> Tensor` @category arithmetic */
  log2(): Tensor {
    return wrap(call(LOG2, this.handle));
  }

  /** `aten::log2_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  log2_(): this {
    call(LOG2_, this.handle);
    return this;
  }

  /** `aten::log10(Tensor self) -> Tensor` @category arithmetic */
  log10(): Tensor {
    return wrap(call(LOG10, this.handle));
  }

  /** `aten::log10_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  log10_(): this {
    call(LOG10_, this.handle);
    return this;
  }

  /** `aten::sin(Tensor self) -> Tensor` @category arithmetic */
  sin(): Tensor {
    return wrap(call(SIN, this.handle));
  }

  /** `aten::sin_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  sin_(): this {
    call(SIN_, this.handle);
    return this;
  }

  /** `aten::cos(Tensor self) -> Tensor` @category arithmetic */
  cos(): Tensor {
    return wrap(call(COS, this.handle));
  }

  /** `aten::cos_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  cos_(): this {
    call(COS_, this.handle);
    return this;
  }

  /** `aten::tan(Tensor self) -> Tensor` @category arithmetic */
  tan(): Tensor {
    return wrap(call(TAN, this.handle));
  }

  /** `aten::tan_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  tan_(): this {
    call(TAN_, this.handle);
    return this;
  }

  /** `aten::asin(Tensor self) -> Tensor` @category arithmetic */
  asin(): Tensor {
    return wrap(call(ASIN, this.handle));
  }

  /** `aten::asin_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  asin_(): this {
    call(ASIN_, this.handle);
    return this;
  }

  /** `aten::acos(Tensor self) -> Tensor` @category arithmetic */
  acos(): Tensor {
    return wrap(call(ACOS, this.handle));
  }

  /** `aten::acos_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  acos_(): this {
    call(ACOS_, this.handle);
    return this;
  }

  /** `aten::atan(Tensor self) -> Tensor` @category arithmetic */
  atan(): Tensor {
    return wrap(call(ATAN, this.handle));
  }

  /** `aten::atan_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  atan_(): this {
    call(ATAN_, this.handle);
    return this;
  }

  /** `aten::atan2(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  atan2(other: Tensor): Tensor {
    return wrap(call(ATAN2, this.handle, other.handle));
  }

  /** `aten::atan2_(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category arithmetic */
  atan2_(other: Tensor): this {
    call(ATAN2_, this.handle, other.handle);
    return this;
  }

  /** `aten::sinh(Tensor self) -> Tensor` @category arithmetic */
  sinh(): Tensor {
    return wrap(call(SINH, this.handle));
  }

  /** `aten::sinh_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  sinh_(): this {
    call(SINH_, this.handle);
    return this;
  }

  /** `aten::cosh(Tensor self) -> Tensor` @category arithmetic */
  cosh(): Tensor {
    return wrap(call(COSH, this.handle));
  }

  /** `aten::cosh_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  cosh_(): this {
    call(COSH_, this.handle);
    return this;
  }

  /** `aten::tanh(Tensor self) -> Tensor` @category arithmetic */
  tanh(): Tensor {
    return wrap(call(TANH, this.handle));
  }

  /** `aten::tanh_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  tanh_(): this {
    call(TANH_, this.handle);
    return this;
  }

  /** `aten::erf(Tensor self) -> Tensor` @category arithmetic */
  erf(): Tensor {
    return wrap(call(ERF, this.handle));
  }

  /** `aten::erf_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  erf_(): this {
    call(ERF_, this.handle);
    return this;
  }

  /** `aten::erfc(Tensor self) -> Tensor` @category arithmetic */
  erfc(): Tensor {
    return wrap(call(ERFC, this.handle));
  }

  /** `aten::erfc_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  erfc_(): this {
    call(ERFC_, this.handle);
    return this;
  }

  /** `aten::erfinv(Tensor self) -> Tensor` @category arithmetic */
  erfinv(): Tensor {
    return wrap(call(ERFINV, this.handle));
  }

  /** `aten::erfinv_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  erfinv_(): this {
    call(ERFINV_, this.handle);
    return this;
  }

  /** `aten::lgamma(Tensor self) -> Tensor` @category arithmetic */
  lgamma(): Tensor {
    return wrap(call(LGAMMA, this.handle));
  }

  /** `aten::lgamma_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  lgamma_(): this {
    call(LGAMMA_, this.handle);
    return this;
  }

  /** `aten::digamma(Tensor self) -> Tensor` @category arithmetic */
  digamma(): Tensor {
    return wrap(call(DIGAMMA, this.handle));
  }

  /** `aten::digamma_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  digamma_(): this {
    call(DIGAMMA_, this.handle);
    return this;
  }

  /** `aten::floor(Tensor self) -> Tensor` @category arithmetic */
  floor(): Tensor {
    return wrap(call(FLOOR, this.handle));
  }

  /** `aten::floor_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  floor_(): this {
    call(FLOOR_, this.handle);
    return this;
  }

  /** `aten::ceil(Tensor self) -> Tensor` @category arithmetic */
  ceil(): Tensor {
    return wrap(call(CEIL, this.handle));
  }

  /** `aten::ceil_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  ceil_(): this {
    call(CEIL_, this.handle);
    return this;
  }

  /** `aten::round(Tensor self) -> Tensor` @category arithmetic */
  round(): Tensor {
    return wrap(call(ROUND, this.handle));
  }

  /** `aten::round_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  round_(): this {
    call(ROUND_, this.handle);
    return this;
  }

  /** `aten::trunc(Tensor self) -> Tensor` @category arithmetic */
  trunc(): Tensor {
    return wrap(call(TRUNC, this.handle));
  }

  /** `aten::trunc_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  trunc_(): this {
    call(TRUNC_, this.handle);
    return this;
  }

  /** `aten::frac(Tensor self) -> Tensor` @category arithmetic */
  frac(): Tensor {
    return wrap(call(FRAC, this.handle));
  }

  /** `aten::frac_(Tensor(a!) self) -> Tensor(a!)` @category arithmetic */
  frac_(): this {
    call(FRAC_, this.handle);
    return this;
  }

  /** `aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor` @category arithmetic */
  clamp(min?: Scalar | null, max?: Scalar | null): Tensor {
    return wrap(call(CLAMP, this.handle, min, max));
  }

  /** `aten::clamp_(Tensor(a!) self, Scalar? min=None, Scalar? max=None) -> Tensor(a!)` @category arithmetic */
  clamp_(min?: Scalar | null, max?: Scalar | null): this {
    call(CLAMP_, this.handle, min, max);
    return this;
  }

  /** `aten::clamp_min(Tensor self, Scalar min) -> Tensor` @category arithmetic */
  clampMin(min: Scalar): Tensor {
    return wrap(call(CLAMP_MIN, this.handle, min));
  }

  /** `aten::clamp_min_(Tensor(a!) self, Scalar min) -> Tensor(a!)` @category arithmetic */
  clampMin_(min: Scalar): this {
    call(CLAMP_MIN_, this.handle, min);
    return this;
  }

  /** `aten::clamp_max(Tensor self, Scalar max) -> Tensor` @category arithmetic */
  clampMax(max: Scalar): Tensor {
    return wrap(call(CLAMP_MAX, this.handle, max));
  }

  /** `aten::clamp_max_(Tensor(a!) self, Scalar max) -> Tensor(a!)` @category arithmetic */
  clampMax_(max: Scalar): this {
    call(CLAMP_MAX_, this.handle, max);
    return this;
  }

  /** `aten::maximum(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  maximum(other: Tensor): Tensor {
    return wrap(call(MAXIMUM, this.handle, other.handle));
  }

  /** `aten::minimum(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  minimum(other: Tensor): Tensor {
    return wrap(call(MINIMUM, this.handle, other.handle));
  }

  /** `aten::remainder.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::remainder.Tensor(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  remainder(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(REMAINDER_TENSOR, this.handle, other.handle));
    }
    return wrap(call(REMAINDER_SCALAR, this.handle, other));
  }

  /** `aten::remainder_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::remainder_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category arithmetic */
  remainder_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(REMAINDER__TENSOR, this.handle, other.handle);
      return this;
    }
    call(REMAINDER__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::fmod.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::fmod.Tensor(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  fmod(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(FMOD_TENSOR, this.handle, other.handle));
    }
    return wrap(call(FMOD_SCALAR, this.handle, other));
  }

  /** `aten::fmod_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::fmod_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category arithmetic */
  fmod_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(FMOD__TENSOR, this.handle, other.handle);
      return this;
    }
    call(FMOD__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::floor_divide(Tensor self, Tensor other) -> Tensor` or `aten::floor_divide.Scalar(Tensor self, Scalar other) -> Tensor` @category arithmetic */
  floorDivide(other: Tensor | Scalar): Tensor {
    if (other instanceof Operators) {
      return wrap(call(FLOOR_DIVIDE, this.handle, other.handle));
    }
    return wrap(call(FLOOR_DIVIDE_SCALAR, this.handle, other));
  }

  /** `aten::addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor` @category arithmetic */
  addcmul(tensor1: Tensor, tensor2: Tensor, options: { value?: Scalar | undefined } = {}): Tensor {
    return wrap(call(ADDCMUL, this.handle, tensor1.handle, tensor2.handle, options.value));
  }

  /** `aten::addcmul_(Tensor(a!) self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor(a!)` @category arithmetic */
  addcmul_(tensor1: Tensor, tensor2: Tensor, options: { value?: Scalar | undefined } = {}): this {
    call(ADDCMUL_, this.handle, tensor1.handle, tensor2.handle, options.value);
    return this;
  }

  /** `aten::addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor` @category arithmetic */
  addcdiv(tensor1: Tensor, tensor2: Tensor, options: { value?: Scalar | undefined } = {}): Tensor {
    return wrap(call(ADDCDIV, this.handle, tensor1.handle, tensor2.handle, options.value));
  }

  /** `aten::addcdiv_(Tensor(a!) self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor(a!)` @category arithmetic */
  addcdiv_(tensor1: Tensor, tensor2: Tensor, options: { value?: Scalar | undefined } = {}): this {
    call(ADDCDIV_, this.handle, tensor1.handle, tensor2.handle, options.value);
    return this;
  }

  /** `aten::lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor` or `aten::lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor` @category arithmetic */
  lerp(end: Tensor, weight: Scalar | Tensor): Tensor {
    if (weight instanceof Operators) {
      return wrap(call(LERP_TENSOR, this.handle, end.handle, weight.handle));
    }
    return wrap(call(LERP_SCALAR, this.handle, end.handle, weight));
  }

  /** `aten::lerp_.Scalar(Tensor(a!) self, Tensor end, Scalar weight) -> Tensor(a!)` or `aten::lerp_.Tensor(Tensor(a!) self, Tensor end, Tensor weight) -> Tensor(a!)` @category arithmetic */
  lerp_(end: Tensor, weight: Scalar | Tensor): this {
    if (weight instanceof Operators) {
      call(LERP__TENSOR, this.handle, end.handle, weight.handle);
      return this;
    }
    call(LERP__SCALAR, this.handle, end.handle, weight);
    return this;
  }

  /** `aten::nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor` @category arithmetic */
  nanToNum(nan?: number | null, posinf?: number | null, neginf?: number | null): Tensor {
    return wrap(call(NAN_TO_NUM, this.handle, nan, posinf, neginf));
  }

  /** `aten::nan_to_num_(Tensor(a!) self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor(a!)` @category arithmetic */
  nanToNum_(nan?: number | null, posinf?: number | null, neginf?: number | null): this {
    call(NAN_TO_NUM_, this.handle, nan, posinf, neginf);
    return this;
  }

  /** `aten::logaddexp(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  logaddexp(other: Tensor): Tensor {
    return wrap(call(LOGADDEXP, this.handle, other.handle));
  }

  /** `aten::hypot(Tensor self, Tensor other) -> Tensor` @category arithmetic */
  hypot(other: Tensor): Tensor {
    return wrap(call(HYPOT, this.handle, other.handle));
  }

  /** `aten::hypot_(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category arithmetic */
  hypot_(other: Tensor): this {
    call(HYPOT_, this.handle, other.handle);
    return this;
  }

  /** `aten::eq.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::eq.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  eq(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(EQ_TENSOR, this.handle, other.handle));
    }
    return wrap(call(EQ_SCALAR, this.handle, other));
  }

  /** `aten::eq_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::eq_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  eq_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(EQ__TENSOR, this.handle, other.handle);
      return this;
    }
    call(EQ__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::ne.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::ne.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  ne(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(NE_TENSOR, this.handle, other.handle));
    }
    return wrap(call(NE_SCALAR, this.handle, other));
  }

  /** `aten::ne_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::ne_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  ne_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(NE__TENSOR, this.handle, other.handle);
      return this;
    }
    call(NE__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::lt.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::lt.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  lt(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(LT_TENSOR, this.handle, other.handle));
    }
    return wrap(call(LT_SCALAR, this.handle, other));
  }

  /** `aten::lt_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::lt_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  lt_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(LT__TENSOR, this.handle, other.handle);
      return this;
    }
    call(LT__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::le.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::le.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  le(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(LE_TENSOR, this.handle, other.handle));
    }
    return wrap(call(LE_SCALAR, this.handle, other));
  }

  /** `aten::le_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::le_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  le_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(LE__TENSOR, this.handle, other.handle);
      return this;
    }
    call(LE__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::gt.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::gt.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  gt(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(GT_TENSOR, this.handle, other.handle));
    }
    return wrap(call(GT_SCALAR, this.handle, other));
  }

  /** `aten::gt_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::gt_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  gt_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(GT__TENSOR, this.handle, other.handle);
      return this;
    }
    call(GT__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::ge.Scalar(Tensor self, Scalar other) -> Tensor` or `aten::ge.Tensor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  ge(other: Scalar | Tensor): Tensor {
    if (other instanceof Operators) {
      return wrap(call(GE_TENSOR, this.handle, other.handle));
    }
    return wrap(call(GE_SCALAR, this.handle, other));
  }

  /** `aten::ge_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` or `aten::ge_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  ge_(other: Scalar | Tensor): this {
    if (other instanceof Operators) {
      call(GE__TENSOR, this.handle, other.handle);
      return this;
    }
    call(GE__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::logical_and(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  logicalAnd(other: Tensor): Tensor {
    return wrap(call(LOGICAL_AND, this.handle, other.handle));
  }

  /** `aten::logical_and_(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  logicalAnd_(other: Tensor): this {
    call(LOGICAL_AND_, this.handle, other.handle);
    return this;
  }

  /** `aten::logical_or(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  logicalOr(other: Tensor): Tensor {
    return wrap(call(LOGICAL_OR, this.handle, other.handle));
  }

  /** `aten::logical_or_(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  logicalOr_(other: Tensor): this {
    call(LOGICAL_OR_, this.handle, other.handle);
    return this;
  }

  /** `aten::logical_xor(Tensor self, Tensor other) -> Tensor` @category comparison and logic */
  logicalXor(other: Tensor): Tensor {
    return wrap(call(LOGICAL_XOR, this.handle, other.handle));
  }

  /** `aten::logical_xor_(Tensor(a!) self, Tensor other) -> Tensor(a!)` @category comparison and logic */
  logicalXor_(other: Tensor): this {
    call(LOGICAL_XOR_, this.handle, other.handle);
    return this;
  }

  /** `aten::logical_not(Tensor self) -> Tensor` @category comparison and logic */
  logicalNot(): Tensor {
    return wrap(call(LOGICAL_NOT, this.handle));
  }

  /** `aten::logical_not_(Tensor(a!) self) -> Tensor(a!)` @category comparison and logic */
  logicalNot_(): this {
    call(LOGICAL_NOT_, this.handle);
    return this;
  }

  /** `aten::bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor` or `aten::bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor` @category comparison and logic */
  bitwiseAnd(other: Tensor | Scalar): Tensor {
    if (other instanceof Operators) {
      return wrap(call(BITWISE_AND_TENSOR, this.handle, other.handle));
    }
    return wrap(call(BITWISE_AND_SCALAR, this.handle, other));
  }

  /** `aten::bitwise_and_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` or `aten::bitwise_and_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` @category comparison and logic */
  bitwiseAnd_(other: Tensor | Scalar): this {
    if (other instanceof Operators) {
      call(BITWISE_AND__TENSOR, this.handle, other.handle);
      return this;
    }
    call(BITWISE_AND__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor` or `aten::bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor` @category comparison and logic */
  bitwiseOr(other: Tensor | Scalar): Tensor {
    if (other instanceof Operators) {
      return wrap(call(BITWISE_OR_TENSOR, this.handle, other.handle));
    }
    return wrap(call(BITWISE_OR_SCALAR, this.handle, other));
  }

  /** `aten::bitwise_or_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)` or `aten::bitwise_or_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)` @category comparison and logic */
  bitwiseOr_(other: Tensor | Scalar): this {
    if (other instanceof Operators) {
      call(BITWISE_OR__TENSOR, this.handle, other.handle);
      return this;
    }
    call(BITWISE_OR__SCALAR, this.handle, other);
    return this;
  }

  /** `aten::bitwise_not(Tensor self) -> Tensor` @category comparison and logic */
  bitwiseNot(): Tensor {
    return wrap(call(BITWISE_NOT, this.handle));
  }

  /** `aten::bitwise_not_(Tensor(a!) self) -> Tensor(a!)` @category comparison and logic */
  bitwiseNot_(): this {
    call(BITWISE_NOT_, this.handle);
    return this;
  }

  /** `aten::isnan(Tensor self) -> Tensor` @category comparison and logic */
  isnan(): Tensor {
    return wrap(call(ISNAN, this.handle));
  }

  /** `aten::isinf(Tensor self) -> Tensor` @category comparison and logic */
  isinf(): Tensor {
    return wrap(call(ISINF, this.handle));
  }

  /** `aten::isfinite(Tensor self) -> Tensor` @category comparison and logic */
  isfinite(): Tensor {
    return wrap(call(ISFINITE, this.handle));
  }

  /** `aten::equal(Tensor self, Tensor other) -> bool` @category comparison and logic */
  equal(other: Tensor): boolean {
    return call(EQUAL, this.handle, other.handle);
  }

  /** `aten::is_floating_point(Tensor self) -> bool` @category comparison and logic */
  isFloatingPoint(): boolean {
    return call(IS_FLOATING_POINT, this.handle);
  }

  /** `aten::allclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) -> bool` @category comparison and logic */
  allclose(other: Tensor, rtol?: number, atol?: number, equalNan?: boolean): boolean {
    return call(ALLCLOSE, this.handle, other.handle, rtol, atol, equalNan);
  }

  /** `aten::masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor` or `aten::masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor` @category comparison and logic */
  maskedFill(mask: Tensor, value: Scalar | Tensor): Tensor {
    if (value instanceof Operators) {
      return wrap(call(MASKED_FILL_TENSOR, this.handle, mask.handle, value.handle));
    }
    return wrap(call(MASKED_FILL_SCALAR, this.handle, mask.handle, value));
  }

  /** `aten::masked_fill_.Scalar(Tensor(a!) self, Tensor mask, Scalar value) -> Tensor(a!)` or `aten::masked_fill_.Tensor(Tensor(a!) self, Tensor mask, Tensor value) -> Tensor(a!)` @category comparison and logic */
  maskedFill_(mask: Tensor, value: Scalar | Tensor): this {
    if (value instanceof Operators) {
      call(MASKED_FILL__TENSOR, this.handle, mask.handle, value.handle);
      return this;
    }
    call(MASKED_FILL__SCALAR, this.handle, mask.handle, value);
    return this;
  }

  /** `aten::masked_select(Tensor self, Tensor mask) -> Tensor` @category comparison and logic */
  maskedSelect(mask: Tensor): Tensor {
    return wrap(call(MASKED_SELECT, this.handle, mask.handle));
  }

  /** `aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  sum(dim?: number | readonly number[] | null, keepdim?: boolean, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(SUM_DIM_INTLIST, this.handle, dim, keepdim, dtypeCode(options.dtype)));
  }

  /** `aten::mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  mean(dim?: number | readonly number[] | null, keepdim?: boolean, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(MEAN_DIM, this.handle, dim, keepdim, dtypeCode(options.dtype)));
  }

  /** `aten::prod(Tensor self, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  prod(options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(PROD, this.handle, dtypeCode(options.dtype)));
  }

  /** `aten::prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  prodAlong(dim: number, keepdim?: boolean, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(PROD_DIM_INT, this.handle, dim, keepdim, dtypeCode(options.dtype)));
  }

  /** `aten::amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor` @category reductions */
  amax(dim?: number | readonly number[], keepdim?: boolean): Tensor {
    return wrap(call(AMAX, this.handle, dim, keepdim));
  }

  /** `aten::amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor` @category reductions */
  amin(dim?: number | readonly number[], keepdim?: boolean): Tensor {
    return wrap(call(AMIN, this.handle, dim, keepdim));
  }

  /** `aten::max(Tensor self) -> Tensor` @category reductions */
  max(): Tensor {
    return wrap(call(MAX, this.handle));
  }

  /** `aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)` @category reductions */
  maxAlong(dim: number, keepdim?: boolean): [Tensor, Tensor] {
    return wrapAll(call(MAX_DIM, this.handle, dim, keepdim)) as [Tensor, Tensor];
  }

  /** `aten::min(Tensor self) -> Tensor` @category reductions */
  min(): Tensor {
    return wrap(call(MIN, this.handle));
  }

  /** `aten::min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)` @category reductions */
  minAlong(dim: number, keepdim?: boolean): [Tensor, Tensor] {
    return wrapAll(call(MIN_DIM, this.handle, dim, keepdim)) as [Tensor, Tensor];
  }

  /** `aten::argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor` @category reductions */
  argmax(dim?: number | null, keepdim?: boolean): Tensor {
    return wrap(call(ARGMAX, this.handle, dim, keepdim));
  }

  /** `aten::argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor` @category reductions */
  argmin(dim?: number | null, keepdim?: boolean): Tensor {
    return wrap(call(ARGMIN, this.handle, dim, keepdim));
  }

  /** `aten::any(Tensor self) -> Tensor` @category reductions */
  any(): Tensor {
    return wrap(call(ANY, this.handle));
  }

  /** `aten::any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor` @category reductions */
  anyAlong(dim: number, keepdim?: boolean): Tensor {
    return wrap(call(ANY_DIM, this.handle, dim, keepdim));
  }

  /** `aten::all(Tensor self) -> Tensor` @category reductions */
  all(): Tensor {
    return wrap(call(ALL, this.handle));
  }

  /** `aten::all.dim(Tensor self, int dim, bool keepdim=False) -> Tensor` @category reductions */
  allAlong(dim: number, keepdim?: boolean): Tensor {
    return wrap(call(ALL_DIM, this.handle, dim, keepdim));
  }

  /** `aten::norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor` @category reductions */
  norm(p: Scalar | null, dim: number | readonly number[], keepdim?: boolean): Tensor {
    return wrap(call(NORM_SCALAROPT_DIM, this.handle, p, dim, keepdim));
  }

  /** `aten::linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  linalgVectorNorm(ord?: Scalar, dim?: number | readonly number[] | null, keepdim?: boolean, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(LINALG_VECTOR_NORM, this.handle, ord, dim, keepdim, dtypeCode(options.dtype)));
  }

  /** `aten::std.correction(Tensor self, int[1]? dim, *, int? correction, bool keepdim=False) -> Tensor` @category reductions */
  std(dim?: number | readonly number[] | null, options: { correction?: number | null | undefined; keepdim?: boolean | undefined } = {}): Tensor {
    return wrap(call(STD_CORRECTION, this.handle, dim, options.correction, options.keepdim));
  }

  /** `aten::var.correction(Tensor self, int[1]? dim, *, int? correction, bool keepdim=False) -> Tensor` @category reductions */
  var(dim?: number | readonly number[] | null, options: { correction?: number | null | undefined; keepdim?: boolean | undefined } = {}): Tensor {
    return wrap(call(VAR_CORRECTION, this.handle, dim, options.correction, options.keepdim));
  }

  /** `aten::var_mean.correction(Tensor self, int[1]? dim, *, int? correction, bool keepdim=False) -> (Tensor, Tensor)` @category reductions */
  varMean(dim?: number | readonly number[] | null, options: { correction?: number | null | undefined; keepdim?: boolean | undefined } = {}): [Tensor, Tensor] {
    return wrapAll(call(VAR_MEAN_CORRECTION, this.handle, dim, options.correction, options.keepdim)) as [Tensor, Tensor];
  }

  /** `aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor` @category reductions */
  logsumexp(dim: number | readonly number[], keepdim?: boolean): Tensor {
    return wrap(call(LOGSUMEXP, this.handle, dim, keepdim));
  }

  /** `aten::cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  cumsum(dim: number, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(CUMSUM, this.handle, dim, dtypeCode(options.dtype)));
  }

  /** `aten::cumsum_(Tensor(a!) self, int dim, *, ScalarType? dtype=None) -> Tensor(a!)` @category reductions */
  cumsum_(dim: number, options: { dtype?: DType | undefined } = {}): this {
    call(CUMSUM_, this.handle, dim, dtypeCode(options.dtype));
    return this;
  }

  /** `aten::cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor` @category reductions */
  cumprod(dim: number, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(CUMPROD, this.handle, dim, dtypeCode(options.dtype)));
  }

  /** `aten::cumprod_(Tensor(a!) self, int dim, *, ScalarType? dtype=None) -> Tensor(a!)` @category reductions */
  cumprod_(dim: number, options: { dtype?: DType | undefined } = {}): this {
    call(CUMPROD_, this.handle, dim, dtypeCode(options.dtype));
    return this;
  }

  /** `aten::median(Tensor self) -> Tensor` @category reductions */
  median(): Tensor {
    return wrap(call(MEDIAN, this.handle));
  }

  /** `aten::quantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation="linear") -> Tensor` or `aten::quantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation="linear") -> Tensor` @category reductions */
  quantile(q: number | Tensor, dim?: number | null, keepdim?: boolean, options: { interpolation?: string | undefined } = {}): Tensor {
    if (q instanceof Operators) {
      return wrap(call(QUANTILE, this.handle, q.handle, dim, keepdim, options.interpolation));
    }
    return wrap(call(QUANTILE_SCALAR, this.handle, q, dim, keepdim, options.interpolation));
  }

  /** `aten::histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor` @category reductions */
  histc(bins?: number, min?: Scalar, max?: Scalar): Tensor {
    return wrap(call(HISTC, this.handle, bins, min, max));
  }

  /** `aten::bincount(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor` @category reductions */
  bincount(weights?: Tensor | null, minlength?: number): Tensor {
    return wrap(call(BINCOUNT, this.handle, weights?.handle, minlength));
  }

  /** `aten::nonzero(Tensor self) -> Tensor` @category reductions */
  nonzero(): Tensor {
    return wrap(call(NONZERO, this.handle));
  }

  /** `aten::count_nonzero(Tensor self, int? dim=None) -> Tensor` @category reductions */
  countNonzero(dim?: number | null): Tensor {
    return wrap(call(COUNT_NONZERO, this.handle, dim));
  }

  /** `aten::trace(Tensor self) -> Tensor` @category reductions */
  trace(): Tensor {
    return wrap(call(TRACE, this.handle));
  }

  /** `aten::dist(Tensor self, Tensor other, Scalar p=2) -> Tensor` @category reductions */
  dist(other: Tensor, p?: Scalar): Tensor {
    return wrap(call(DIST, this.handle, other.handle, p));
  }

  /** `aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)` @category shapes and views */
  view(size: readonly number[]): Tensor {
    return wrap(call(VIEW, this.handle, size));
  }

  /** `aten::reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)` @category shapes and views */
  reshape(shape: readonly number[]): Tensor {
    return wrap(call(RESHAPE, this.handle, shape));
  }

  /** `aten::expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)` @category shapes and views */
  expand(size: readonly number[], options: { implicit?: boolean | undefined } = {}): Tensor {
    return wrap(call(EXPAND, this.handle, size, options.implicit));
  }

  /** `aten::expand_as(Tensor(a) self, Tensor other) -> Tensor(a)` @category shapes and views */
  expandAs(other: Tensor): Tensor {
    return wrap(call(EXPAND_AS, this.handle, other.handle));
  }

  /** `aten::permute(Tensor(a) self, int[] dims) -> Tensor(a)` @category shapes and views */
  permute(dims: readonly number[]): Tensor {
    return wrap(call(PERMUTE, this.handle, dims));
  }

  /** `aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)` @category shapes and views */
  transpose(dim0: number, dim1: number): Tensor {
    return wrap(call(TRANSPOSE_INT, this.handle, dim0, dim1));
  }

  /** `aten::t(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  t(): Tensor {
    return wrap(call(T, this.handle));
  }

  /** `aten::t_(Tensor(a!) self) -> Tensor(a!)` @category shapes and views */
  t_(): this {
    call(T_, this.handle);
    return this;
  }

  /** `aten::squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)` @category shapes and views */
  squeeze(dim: number): Tensor {
    return wrap(call(SQUEEZE_DIM, this.handle, dim));
  }

  /** `aten::squeeze_.dim(Tensor(a!) self, int dim) -> Tensor(a!)` @category shapes and views */
  squeeze_(dim: number): this {
    call(SQUEEZE__DIM, this.handle, dim);
    return this;
  }

  /** `aten::unsqueeze(Tensor(a) self, int dim) -> Tensor(a)` @category shapes and views */
  unsqueeze(dim: number): Tensor {
    return wrap(call(UNSQUEEZE, this.handle, dim));
  }

  /** `aten::unsqueeze_(Tensor(a!) self, int dim) -> Tensor(a!)` @category shapes and views */
  unsqueeze_(dim: number): this {
    call(UNSQUEEZE_, this.handle, dim);
    return this;
  }

  /** `aten::flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)` @category shapes and views */
  flatten(startDim?: number, endDim?: number): Tensor {
    return wrap(call(FLATTEN_USING_INTS, this.handle, startDim, endDim));
  }

  /** `aten::unflatten.int(Tensor(a) self, int dim, int[] sizes) -> Tensor(a)` @category shapes and views */
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return wrap(call(UNFLATTEN_INT, this.handle, dim, sizes));
  }

  /** `aten::select.int(Tensor(a) self, int dim, int index) -> Tensor(a)` @category shapes and views */
  select(dim: number, index: number): Tensor {
    return wrap(call(SELECT_INT, this.handle, dim, index));
  }

  /** `aten::slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)` @category shapes and views */
  slice(dim?: number, start?: number | null, end?: number | null, step?: number): Tensor {
    return wrap(call(SLICE_TENSOR, this.handle, dim, start, end, step));
  }

  /** `aten::narrow(Tensor(a) self, int dim, int start, int length) -> Tensor(a)` @category shapes and views */
  narrow(dim: number, start: number, length: number): Tensor {
    return wrap(call(NARROW, this.handle, dim, start, length));
  }

  /** `aten::split.Tensor(Tensor(a -> *) self, int split_size, int dim=0) -> Tensor(a)[]` @category shapes and views */
  split(splitSize: number, dim?: number): Tensor[] {
    return wrapAll(call(SPLIT_TENSOR, this.handle, splitSize, dim));
  }

  /** `aten::split_with_sizes(Tensor(a -> *) self, int[] split_sizes, int dim=0) -> Tensor(a)[]` @category shapes and views */
  splitWithSizes(splitSizes: readonly number[], dim?: number): Tensor[] {
    return wrapAll(call(SPLIT_WITH_SIZES, this.handle, splitSizes, dim));
  }

  /** `aten::chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]` @category shapes and views */
  chunk(chunks: number, dim?: number): Tensor[] {
    return wrapAll(call(CHUNK, this.handle, chunks, dim));
  }

  /** `aten::unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]` @category shapes and views */
  unbind(dim?: number): Tensor[] {
    return wrapAll(call(UNBIND_INT, this.handle, dim));
  }

  /** `aten::unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)` @category shapes and views */
  unfold(dimension: number, size: number, step: number): Tensor {
    return wrap(call(UNFOLD, this.handle, dimension, size, step));
  }

  /** `aten::diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)` @category shapes and views */
  diagonal(offset?: number, dim1?: number, dim2?: number): Tensor {
    return wrap(call(DIAGONAL, this.handle, offset, dim1, dim2));
  }

  /** `aten::diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor` @category shapes and views */
  diagEmbed(offset?: number, dim1?: number, dim2?: number): Tensor {
    return wrap(call(DIAG_EMBED, this.handle, offset, dim1, dim2));
  }

  /** `aten::tril(Tensor self, int diagonal=0) -> Tensor` @category shapes and views */
  tril(diagonal?: number): Tensor {
    return wrap(call(TRIL, this.handle, diagonal));
  }

  /** `aten::tril_(Tensor(a!) self, int diagonal=0) -> Tensor(a!)` @category shapes and views */
  tril_(diagonal?: number): this {
    call(TRIL_, this.handle, diagonal);
    return this;
  }

  /** `aten::triu(Tensor self, int diagonal=0) -> Tensor` @category shapes and views */
  triu(diagonal?: number): Tensor {
    return wrap(call(TRIU, this.handle, diagonal));
  }

  /** `aten::triu_(Tensor(a!) self, int diagonal=0) -> Tensor(a!)` @category shapes and views */
  triu_(diagonal?: number): this {
    call(TRIU_, this.handle, diagonal);
    return this;
  }

  /** `aten::flip(Tensor self, int[] dims) -> Tensor` @category shapes and views */
  flip(dims: readonly number[]): Tensor {
    return wrap(call(FLIP, this.handle, dims));
  }

  /** `aten::roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor` @category shapes and views */
  roll(shifts: number | readonly number[], dims?: number | readonly number[]): Tensor {
    return wrap(call(ROLL, this.handle, shifts, dims));
  }

  /** `aten::repeat(Tensor self, SymInt[] repeats) -> Tensor` @category shapes and views */
  repeat(repeats: readonly number[]): Tensor {
    return wrap(call(REPEAT, this.handle, repeats));
  }

  /** `aten::repeat_interleave.self_int(Tensor self, int repeats, int? dim=None, *, int? output_size=None) -> Tensor` @category shapes and views */
  repeatInterleave(repeats: number, dim?: number | null, options: { outputSize?: number | null | undefined } = {}): Tensor {
    return wrap(call(REPEAT_INTERLEAVE_SELF_INT, this.handle, repeats, dim, options.outputSize));
  }

  /** `aten::tile(Tensor self, int[] dims) -> Tensor` @category shapes and views */
  tile(dims: readonly number[]): Tensor {
    return wrap(call(TILE, this.handle, dims));
  }

  /** `aten::contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)` @category shapes and views */
  contiguous(options: { memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(CONTIGUOUS, this.handle, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor` @category shapes and views */
  clone(options: { memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(CLONE, this.handle, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::detach(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  detach(): Tensor {
    return wrap(call(DETACH, this.handle));
  }

  /** `aten::detach_(Tensor(a!) self) -> Tensor(a!)` @category shapes and views */
  detach_(): this {
    call(DETACH_, this.handle);
    return this;
  }

  /** `aten::alias(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  alias(): Tensor {
    return wrap(call(ALIAS, this.handle));
  }

  /** `aten::as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)` @category shapes and views */
  asStrided(size: readonly number[], stride: readonly number[], storageOffset?: number | null): Tensor {
    return wrap(call(AS_STRIDED, this.handle, size, stride, storageOffset));
  }

  /** `aten::as_strided_(Tensor(a!) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a!)` @category shapes and views */
  asStrided_(size: readonly number[], stride: readonly number[], storageOffset?: number | null): this {
    call(AS_STRIDED_, this.handle, size, stride, storageOffset);
    return this;
  }

  /** `aten::view_as_real(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  viewAsReal(): Tensor {
    return wrap(call(VIEW_AS_REAL, this.handle));
  }

  /** `aten::view_as_complex(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  viewAsComplex(): Tensor {
    return wrap(call(VIEW_AS_COMPLEX, this.handle));
  }

  /** `aten::real(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  real(): Tensor {
    return wrap(call(REAL, this.handle));
  }

  /** `aten::imag(Tensor(a) self) -> Tensor(a)` @category shapes and views */
  imag(): Tensor {
    return wrap(call(IMAG, this.handle));
  }

  /** `aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor` @category indexing */
  index(indices: readonly (Tensor | null)[]): Tensor {
    return wrap(call(INDEX_TENSOR, this.handle, handlesOf(indices)));
  }

  /** `aten::index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor` @category indexing */
  indexPut(indices: readonly (Tensor | null)[], values: Tensor, accumulate?: boolean): Tensor {
    return wrap(call(INDEX_PUT, this.handle, handlesOf(indices), values.handle, accumulate));
  }

  /** `aten::index_put_(Tensor(a!) self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor(a!)` @category indexing */
  indexPut_(indices: readonly (Tensor | null)[], values: Tensor, accumulate?: boolean): this {
    call(INDEX_PUT_, this.handle, handlesOf(indices), values.handle, accumulate);
    return this;
  }

  /** `aten::index_select(Tensor self, int dim, Tensor index) -> Tensor` @category indexing */
  indexSelect(dim: number, index: Tensor): Tensor {
    return wrap(call(INDEX_SELECT, this.handle, dim, index.handle));
  }

  /** `aten::index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor` @category indexing */
  indexAdd(dim: number, index: Tensor, source: Tensor, options: { alpha?: Scalar | undefined } = {}): Tensor {
    return wrap(call(INDEX_ADD, this.handle, dim, index.handle, source.handle, options.alpha));
  }

  /** `aten::index_add_(Tensor(a!) self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor(a!)` @category indexing */
  indexAdd_(dim: number, index: Tensor, source: Tensor, options: { alpha?: Scalar | undefined } = {}): this {
    call(INDEX_ADD_, this.handle, dim, index.handle, source.handle, options.alpha);
    return this;
  }

  /** `aten::index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor` @category indexing */
  indexCopy(dim: number, index: Tensor, source: Tensor): Tensor {
    return wrap(call(INDEX_COPY, this.handle, dim, index.handle, source.handle));
  }

  /** `aten::index_copy_(Tensor(a!) self, int dim, Tensor index, Tensor source) -> Tensor(a!)` @category indexing */
  indexCopy_(dim: number, index: Tensor, source: Tensor): this {
    call(INDEX_COPY_, this.handle, dim, index.handle, source.handle);
    return this;
  }

  /** `aten::gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor` @category indexing */
  gather(dim: number, index: Tensor, options: { sparseGrad?: boolean | undefined } = {}): Tensor {
    return wrap(call(GATHER, this.handle, dim, index.handle, options.sparseGrad));
  }

  /** `aten::scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor` or `aten::scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor` @category indexing */
  scatter(dim: number, index: Tensor, src: Tensor | Scalar): Tensor {
    if (src instanceof Operators) {
      return wrap(call(SCATTER_SRC, this.handle, dim, index.handle, src.handle));
    }
    return wrap(call(SCATTER_VALUE, this.handle, dim, index.handle, src));
  }

  /** `aten::scatter_.src(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)` or `aten::scatter_.value(Tensor(a!) self, int dim, Tensor index, Scalar value) -> Tensor(a!)` @category indexing */
  scatter_(dim: number, index: Tensor, src: Tensor | Scalar): this {
    if (src instanceof Operators) {
      call(SCATTER__SRC, this.handle, dim, index.handle, src.handle);
      return this;
    }
    call(SCATTER__VALUE, this.handle, dim, index.handle, src);
    return this;
  }

  /** `aten::scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor` @category indexing */
  scatterAdd(dim: number, index: Tensor, src: Tensor): Tensor {
    return wrap(call(SCATTER_ADD, this.handle, dim, index.handle, src.handle));
  }

  /** `aten::scatter_add_(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)` @category indexing */
  scatterAdd_(dim: number, index: Tensor, src: Tensor): this {
    call(SCATTER_ADD_, this.handle, dim, index.handle, src.handle);
    return this;
  }

  /** `aten::take(Tensor self, Tensor index) -> Tensor` @category indexing */
  take(index: Tensor): Tensor {
    return wrap(call(TAKE, this.handle, index.handle));
  }

  /** `aten::take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor` @category indexing */
  takeAlongDim(indices: Tensor, dim?: number | null): Tensor {
    return wrap(call(TAKE_ALONG_DIM, this.handle, indices.handle, dim));
  }

  /** `aten::masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor` @category indexing */
  maskedScatter(mask: Tensor, source: Tensor): Tensor {
    return wrap(call(MASKED_SCATTER, this.handle, mask.handle, source.handle));
  }

  /** `aten::masked_scatter_(Tensor(a!) self, Tensor mask, Tensor source) -> Tensor(a!)` @category indexing */
  maskedScatter_(mask: Tensor, source: Tensor): this {
    call(MASKED_SCATTER_, this.handle, mask.handle, source.handle);
    return this;
  }

  /** `aten::one_hot(Tensor self, int num_classes=-1) -> Tensor` @category indexing */
  oneHot(numClasses?: number): Tensor {
    return wrap(call(ONE_HOT, this.handle, numClasses));
  }

  /** `aten::sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)` @category sorting */
  sort(dim?: number, descending?: boolean): [Tensor, Tensor] {
    return wrapAll(call(SORT, this.handle, dim, descending)) as [Tensor, Tensor];
  }

  /** `aten::argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor` @category sorting */
  argsort(dim?: number, descending?: boolean): Tensor {
    return wrap(call(ARGSORT, this.handle, dim, descending));
  }

  /** `aten::topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)` @category sorting */
  topk(k: number, dim?: number, largest?: boolean, sorted?: boolean): [Tensor, Tensor] {
    return wrapAll(call(TOPK, this.handle, k, dim, largest, sorted)) as [Tensor, Tensor];
  }

  /** `aten::_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)` @category sorting */
  unique(sorted?: boolean, returnInverse?: boolean, returnCounts?: boolean): [Tensor, Tensor, Tensor] {
    return wrapAll(call(UNIQUE2, this.handle, sorted, returnInverse, returnCounts)) as [Tensor, Tensor, Tensor];
  }

  /** `aten::fill_.Scalar(Tensor(a!) self, Scalar value) -> Tensor(a!)` or `aten::fill_.Tensor(Tensor(a!) self, Tensor value) -> Tensor(a!)` @category filling and copying */
  fill_(value: Scalar | Tensor): this {
    if (value instanceof Operators) {
      call(FILL__TENSOR, this.handle, value.handle);
      return this;
    }
    call(FILL__SCALAR, this.handle, value);
    return this;
  }

  /** `aten::zero_(Tensor(a!) self) -> Tensor(a!)` @category filling and copying */
  zero_(): this {
    call(ZERO_, this.handle);
    return this;
  }

  /** `aten::copy_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)` @category filling and copying */
  copy_(src: Tensor, nonBlocking?: boolean): this {
    call(COPY_, this.handle, src.handle, nonBlocking);
    return this;
  }

  /** `aten::set_data(Tensor(a!) self, Tensor new_data) -> ()` @category filling and copying */
  setData(newData: Tensor): void {
    call(SET_DATA, this.handle, newData.handle);
  }

  /** `aten::resize_(Tensor(a!) self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor(a!)` @category filling and copying */
  resize_(size: readonly number[], options: { memoryFormat?: MemoryFormat | undefined } = {}): this {
    call(RESIZE_, this.handle, size, memoryFormatCode(options.memoryFormat));
    return this;
  }

  /** `aten::empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category create */
  emptyLike(options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(EMPTY_LIKE, this.handle, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category create */
  zerosLike(options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(ZEROS_LIKE, this.handle, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category create */
  onesLike(options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(ONES_LIKE, this.handle, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category create */
  fullLike(fillValue: Scalar, options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(FULL_LIKE, this.handle, fillValue, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::randn_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category random */
  randnLike(options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(RANDN_LIKE, this.handle, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::rand_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category random */
  randLike(options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
    return wrap(call(RAND_LIKE, this.handle, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
  }

  /** `aten::normal_(Tensor(a!) self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor(a!)` @category random */
  normal_(mean?: number, std?: number, options: { generator?: Generator | null | undefined } = {}): this {
    call(NORMAL_, this.handle, mean, std, options.generator?.id);
    return this;
  }

  /** `aten::uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)` @category random */
  uniform_(low?: number, high?: number, options: { generator?: Generator | null | undefined } = {}): this {
    call(UNIFORM_, this.handle, low, high, options.generator?.id);
    return this;
  }

  /** `aten::random_.from(Tensor(a!) self, int from, int? to, *, Generator? generator=None) -> Tensor(a!)` @category random */
  random_(low: number, high?: number | null, options: { generator?: Generator | null | undefined } = {}): this {
    call(RANDOM__FROM, this.handle, low, high, options.generator?.id);
    return this;
  }

  /** `aten::bernoulli(Tensor self, *, Generator? generator=None) -> Tensor` @category random */
  bernoulli(options: { generator?: Generator | null | undefined } = {}): Tensor {
    return wrap(call(BERNOULLI, this.handle, options.generator?.id));
  }

  /** `aten::bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor` @category random */
  bernoulliWith(p: number, options: { generator?: Generator | null | undefined } = {}): Tensor {
    return wrap(call(BERNOULLI_P, this.handle, p, options.generator?.id));
  }

  /** `aten::bernoulli_.float(Tensor(a!) self, float p=0.5, *, Generator? generator=None) -> Tensor(a!)` @category random */
  bernoulli_(p?: number, options: { generator?: Generator | null | undefined } = {}): this {
    call(BERNOULLI__FLOAT, this.handle, p, options.generator?.id);
    return this;
  }

  /** `aten::exponential_(Tensor(a!) self, float lambd=1., *, Generator? generator=None) -> Tensor(a!)` @category random */
  exponential_(lambd?: number, options: { generator?: Generator | null | undefined } = {}): this {
    call(EXPONENTIAL_, this.handle, lambd, options.generator?.id);
    return this;
  }

  /** `aten::multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor` @category random */
  multinomial(numSamples: number, replacement?: boolean, options: { generator?: Generator | null | undefined } = {}): Tensor {
    return wrap(call(MULTINOMIAL, this.handle, numSamples, replacement, options.generator?.id));
  }

  /** `aten::dropout_(Tensor(a!) self, float p, bool train) -> Tensor(a!)` @category random */
  dropout_(p: number, train: boolean): this {
    call(DROPOUT_, this.handle, p, train);
    return this;
  }

  /** `aten::mm(Tensor self, Tensor mat2) -> Tensor` @category linear algebra */
  mm(mat2: Tensor): Tensor {
    return wrap(call(MM, this.handle, mat2.handle));
  }

  /** `aten::bmm(Tensor self, Tensor mat2) -> Tensor` @category linear algebra */
  bmm(mat2: Tensor): Tensor {
    return wrap(call(BMM, this.handle, mat2.handle));
  }

  /** `aten::matmul(Tensor self, Tensor other) -> Tensor` @category linear algebra */
  matmul(other: Tensor): Tensor {
    return wrap(call(MATMUL, this.handle, other.handle));
  }

  /** `aten::addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor` @category linear algebra */
  addmm(mat1: Tensor, mat2: Tensor, options: { beta?: Scalar | undefined; alpha?: Scalar | undefined } = {}): Tensor {
    return wrap(call(ADDMM, this.handle, mat1.handle, mat2.handle, options.beta, options.alpha));
  }

  /** `aten::addmm_(Tensor(a!) self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)` @category linear algebra */
  addmm_(mat1: Tensor, mat2: Tensor, options: { beta?: Scalar | undefined; alpha?: Scalar | undefined } = {}): this {
    call(ADDMM_, this.handle, mat1.handle, mat2.handle, options.beta, options.alpha);
    return this;
  }

  /** `aten::baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor` @category linear algebra */
  baddbmm(batch1: Tensor, batch2: Tensor, options: { beta?: Scalar | undefined; alpha?: Scalar | undefined } = {}): Tensor {
    return wrap(call(BADDBMM, this.handle, batch1.handle, batch2.handle, options.beta, options.alpha));
  }

  /** `aten::baddbmm_(Tensor(a!) self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)` @category linear algebra */
  baddbmm_(batch1: Tensor, batch2: Tensor, options: { beta?: Scalar | undefined; alpha?: Scalar | undefined } = {}): this {
    call(BADDBMM_, this.handle, batch1.handle, batch2.handle, options.beta, options.alpha);
    return this;
  }

  /** `aten::mv(Tensor self, Tensor vec) -> Tensor` @category linear algebra */
  mv(vec: Tensor): Tensor {
    return wrap(call(MV, this.handle, vec.handle));
  }

  /** `aten::dot(Tensor self, Tensor tensor) -> Tensor` @category linear algebra */
  dot(tensor: Tensor): Tensor {
    return wrap(call(DOT, this.handle, tensor.handle));
  }

  /** `aten::outer(Tensor self, Tensor vec2) -> Tensor` @category linear algebra */
  outer(vec2: Tensor): Tensor {
    return wrap(call(OUTER, this.handle, vec2.handle));
  }

  /** `aten::cross(Tensor self, Tensor other, int? dim=None) -> Tensor` @category linear algebra */
  cross(other: Tensor, dim?: number | null): Tensor {
    return wrap(call(CROSS, this.handle, other.handle, dim));
  }

  /** `aten::linalg_eigh(Tensor self, str UPLO="L") -> (Tensor eigenvalues, Tensor eigenvectors)` @category linear algebra */
  linalgEigh(UPLO?: string): [Tensor, Tensor] {
    return wrapAll(call(LINALG_EIGH, this.handle, UPLO)) as [Tensor, Tensor];
  }

  /** `aten::linalg_eigvalsh(Tensor self, str UPLO="L") -> Tensor` @category linear algebra */
  linalgEigvalsh(UPLO?: string): Tensor {
    return wrap(call(LINALG_EIGVALSH, this.handle, UPLO));
  }

  /** `aten::linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor` @category linear algebra */
  linalgCholesky(options: { upper?: boolean | undefined } = {}): Tensor {
    return wrap(call(LINALG_CHOLESKY, this.handle, options.upper));
  }

  /** `aten::linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor` @category linear algebra */
  linalgNorm(ord?: Scalar | null, dim?: number | readonly number[] | null, keepdim?: boolean, options: { dtype?: DType | undefined } = {}): Tensor {
    return wrap(call(LINALG_NORM, this.handle, ord, dim, keepdim, dtypeCode(options.dtype)));
  }

  /** `aten::linalg_matrix_exp(Tensor self) -> Tensor` @category linear algebra */
  linalgMatrixExp(): Tensor {
    return wrap(call(LINALG_MATRIX_EXP, this.handle));
  }

  /** `aten::avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor` @category network layers */
  avgPool2d(kernelSize: number | readonly number[], stride?: number | readonly number[], padding?: number | readonly number[], ceilMode?: boolean, countIncludePad?: boolean, divisorOverride?: number | null): Tensor {
    return wrap(call(AVG_POOL2D, this.handle, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride));
  }

  /** `aten::max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor` @category network layers */
  maxPool2d(kernelSize: number | readonly number[], stride?: number | readonly number[], padding?: number | readonly number[], dilation?: number | readonly number[], ceilMode?: boolean): Tensor {
    return wrap(call(MAX_POOL2D, this.handle, kernelSize, stride, padding, dilation, ceilMode));
  }

  /** `aten::adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor` @category network layers */
  adaptiveAvgPool2d(outputSize: number | readonly number[]): Tensor {
    return wrap(call(ADAPTIVE_AVG_POOL2D, this.handle, outputSize));
  }

  /** `aten::upsample_nearest2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor` @category network layers */
  upsampleNearest2d(outputSize: number | readonly number[], scalesH?: number | null, scalesW?: number | null): Tensor {
    return wrap(call(UPSAMPLE_NEAREST2D, this.handle, outputSize, scalesH, scalesW));
  }

  /** `aten::upsample_bilinear2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor` @category network layers */
  upsampleBilinear2d(outputSize: number | readonly number[], alignCorners: boolean, scalesH?: number | null, scalesW?: number | null): Tensor {
    return wrap(call(UPSAMPLE_BILINEAR2D, this.handle, outputSize, alignCorners, scalesH, scalesW));
  }

  /** `aten::upsample_bicubic2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor` @category network layers */
  upsampleBicubic2d(outputSize: number | readonly number[], alignCorners: boolean, scalesH?: number | null, scalesW?: number | null): Tensor {
    return wrap(call(UPSAMPLE_BICUBIC2D, this.handle, outputSize, alignCorners, scalesH, scalesW));
  }

  /** `aten::pixel_shuffle(Tensor self, int upscale_factor) -> Tensor` @category network layers */
  pixelShuffle(upscaleFactor: number): Tensor {
    return wrap(call(PIXEL_SHUFFLE, this.handle, upscaleFactor));
  }

  /** `aten::pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor` @category network layers */
  pixelUnshuffle(downscaleFactor: number): Tensor {
    return wrap(call(PIXEL_UNSHUFFLE, this.handle, downscaleFactor));
  }

  /** `aten::pad(Tensor self, int[] pad, str mode="constant", float? value=None) -> Tensor` @category network layers */
  pad(pad: readonly number[], mode?: string, value?: number | null): Tensor {
    return wrap(call(PAD, this.handle, pad, mode, value));
  }

  /** `aten::reflection_pad2d(Tensor self, int[4] padding) -> Tensor` @category network layers */
  reflectionPad2d(padding: number | readonly number[]): Tensor {
    return wrap(call(REFLECTION_PAD2D, this.handle, padding));
  }

  /** `aten::relu(Tensor self) -> Tensor` @category network layers */
  relu(): Tensor {
    return wrap(call(RELU, this.handle));
  }

  /** `aten::relu_(Tensor(a!) self) -> Tensor(a!)` @category network layers */
  relu_(): this {
    call(RELU_, this.handle);
    return this;
  }

  /** `aten::leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor` @category network layers */
  leakyRelu(negativeSlope?: Scalar): Tensor {
    return wrap(call(LEAKY_RELU, this.handle, negativeSlope));
  }

  /** `aten::leaky_relu_(Tensor(a!) self, Scalar negative_slope=0.01) -> Tensor(a!)` @category network layers */
  leakyRelu_(negativeSlope?: Scalar): this {
    call(LEAKY_RELU_, this.handle, negativeSlope);
    return this;
  }

  /** `aten::elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor` @category network layers */
  elu(alpha?: Scalar, scale?: Scalar, inputScale?: Scalar): Tensor {
    return wrap(call(ELU, this.handle, alpha, scale, inputScale));
  }

  /** `aten::elu_(Tensor(a!) self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor(a!)` @category network layers */
  elu_(alpha?: Scalar, scale?: Scalar, inputScale?: Scalar): this {
    call(ELU_, this.handle, alpha, scale, inputScale);
    return this;
  }

  /** `aten::gelu(Tensor self, *, str approximate="none") -> Tensor` @category network layers */
  gelu(options: { approximate?: string | undefined } = {}): Tensor {
    return wrap(call(GELU, this.handle, options.approximate));
  }

  /** `aten::gelu_(Tensor(a!) self, *, str approximate="none") -> Tensor(a!)` @category network layers */
  gelu_(options: { approximate?: string | undefined } = {}): this {
    call(GELU_, this.handle, options.approximate);
    return this;
  }

  /** `aten::silu(Tensor self) -> Tensor` @category network layers */
  silu(): Tensor {
    return wrap(call(SILU, this.handle));
  }

  /** `aten::silu_(Tensor(a!) self) -> Tensor(a!)` @category network layers */
  silu_(): this {
    call(SILU_, this.handle);
    return this;
  }

  /** `aten::mish(Tensor self) -> Tensor` @category network layers */
  mish(): Tensor {
    return wrap(call(MISH, this.handle));
  }

  /** `aten::mish_(Tensor(a!) self) -> Tensor(a!)` @category network layers */
  mish_(): this {
    call(MISH_, this.handle);
    return this;
  }

  /** `aten::sigmoid(Tensor self) -> Tensor` @category network layers */
  sigmoid(): Tensor {
    return wrap(call(SIGMOID, this.handle));
  }

  /** `aten::sigmoid_(Tensor(a!) self) -> Tensor(a!)` @category network layers */
  sigmoid_(): this {
    call(SIGMOID_, this.handle);
    return this;
  }

  /** `aten::log_sigmoid(Tensor self) -> Tensor` @category network layers */
  logSigmoid(): Tensor {
    return wrap(call(LOG_SIGMOID, this.handle));
  }

  /** `aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor` @category network layers */
  softplus(beta?: Scalar, threshold?: Scalar): Tensor {
    return wrap(call(SOFTPLUS, this.handle, beta, threshold));
  }

  /** `aten::hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor` @category network layers */
  hardtanh(minVal?: Scalar, maxVal?: Scalar): Tensor {
    return wrap(call(HARDTANH, this.handle, minVal, maxVal));
  }

  /** `aten::hardtanh_(Tensor(a!) self, Scalar min_val=-1, Scalar max_val=1) -> Tensor(a!)` @category network layers */
  hardtanh_(minVal?: Scalar, maxVal?: Scalar): this {
    call(HARDTANH_, this.handle, minVal, maxVal);
    return this;
  }

  /** `aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor` @category network layers */
  softmax(dim: number, dtype?: DType): Tensor {
    return wrap(call(SOFTMAX_INT, this.handle, dim, dtypeCode(dtype)));
  }

  /** `aten::log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor` @category network layers */
  logSoftmax(dim: number, dtype?: DType): Tensor {
    return wrap(call(LOG_SOFTMAX_INT, this.handle, dim, dtypeCode(dtype)));
  }

  /** `aten::mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor` @category losses */
  mseLoss(target: Tensor, reduction?: number): Tensor {
    return wrap(call(MSE_LOSS, this.handle, target.handle, reduction));
  }

  /** `aten::l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor` @category losses */
  l1Loss(target: Tensor, reduction?: number): Tensor {
    return wrap(call(L1_LOSS, this.handle, target.handle, reduction));
  }

  /** `aten::smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.) -> Tensor` @category losses */
  smoothL1Loss(target: Tensor, reduction?: number, beta?: number): Tensor {
    return wrap(call(SMOOTH_L1_LOSS, this.handle, target.handle, reduction, beta));
  }

  /** `aten::huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.) -> Tensor` @category losses */
  huberLoss(target: Tensor, reduction?: number, delta?: number): Tensor {
    return wrap(call(HUBER_LOSS, this.handle, target.handle, reduction, delta));
  }

  /** `aten::cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100, float label_smoothing=0.) -> Tensor` @category losses */
  crossEntropyLoss(target: Tensor, weight?: Tensor | null, reduction?: number, ignoreIndex?: number, labelSmoothing?: number): Tensor {
    return wrap(call(CROSS_ENTROPY_LOSS, this.handle, target.handle, weight?.handle, reduction, ignoreIndex, labelSmoothing));
  }

  /** `aten::nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, int ignore_index=-100) -> Tensor` @category losses */
  nllLoss(target: Tensor, weight?: Tensor | null, reduction?: number, ignoreIndex?: number): Tensor {
    return wrap(call(NLL_LOSS, this.handle, target.handle, weight?.handle, reduction, ignoreIndex));
  }

  /** `aten::binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor` @category losses */
  binaryCrossEntropyWithLogits(target: Tensor, weight?: Tensor | null, posWeight?: Tensor | null, reduction?: number): Tensor {
    return wrap(call(BINARY_CROSS_ENTROPY_WITH_LOGITS, this.handle, target.handle, weight?.handle, posWeight?.handle, reduction));
  }

  /** `aten::kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor` @category losses */
  klDiv(target: Tensor, reduction?: number, options: { logTarget?: boolean | undefined } = {}): Tensor {
    return wrap(call(KL_DIV, this.handle, target.handle, reduction, options.logTarget));
  }

  /** `aten::fft_fft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor` @category Fourier transforms */
  fftFft(n?: number | null, dim?: number, norm?: string | null): Tensor {
    return wrap(call(FFT_FFT, this.handle, n, dim, norm));
  }

  /** `aten::fft_ifft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor` @category Fourier transforms */
  fftIfft(n?: number | null, dim?: number, norm?: string | null): Tensor {
    return wrap(call(FFT_IFFT, this.handle, n, dim, norm));
  }

  /** `aten::fft_rfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor` @category Fourier transforms */
  fftRfft(n?: number | null, dim?: number, norm?: string | null): Tensor {
    return wrap(call(FFT_RFFT, this.handle, n, dim, norm));
  }

  /** `aten::fft_irfft(Tensor self, int? n=None, int dim=-1, str? norm=None) -> Tensor` @category Fourier transforms */
  fftIrfft(n?: number | null, dim?: number, norm?: string | null): Tensor {
    return wrap(call(FFT_IRFFT, this.handle, n, dim, norm));
  }

  /** `aten::fft_fft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor` @category Fourier transforms */
  fftFft2(s?: number | readonly number[] | null, dim?: number | readonly number[], norm?: string | null): Tensor {
    return wrap(call(FFT_FFT2, this.handle, s, dim, norm));
  }

  /** `aten::fft_ifft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor` @category Fourier transforms */
  fftIfft2(s?: number | readonly number[] | null, dim?: number | readonly number[], norm?: string | null): Tensor {
    return wrap(call(FFT_IFFT2, this.handle, s, dim, norm));
  }

  /** `aten::fft_rfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor` @category Fourier transforms */
  fftRfft2(s?: number | readonly number[] | null, dim?: number | readonly number[], norm?: string | null): Tensor {
    return wrap(call(FFT_RFFT2, this.handle, s, dim, norm));
  }

  /** `aten::fft_irfft2(Tensor self, int[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor` @category Fourier transforms */
  fftIrfft2(s?: number | readonly number[] | null, dim?: number | readonly number[], norm?: string | null): Tensor {
    return wrap(call(FFT_IRFFT2, this.handle, s, dim, norm));
  }

  /** `aten::fft_fftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor` @category Fourier transforms */
  fftFftn(s?: number | readonly number[] | null, dim?: number | readonly number[] | null, norm?: string | null): Tensor {
    return wrap(call(FFT_FFTN, this.handle, s, dim, norm));
  }

  /** `aten::fft_ifftn(Tensor self, int[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor` @category Fourier transforms */
  fftIfftn(s?: number | readonly number[] | null, dim?: number | readonly number[] | null, norm?: string | null): Tensor {
    return wrap(call(FFT_IFFTN, this.handle, s, dim, norm));
  }

  /** `aten::fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor` @category Fourier transforms */
  fftFftshift(dim?: number | readonly number[] | null): Tensor {
    return wrap(call(FFT_FFTSHIFT, this.handle, dim));
  }

  /** `aten::fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor` @category Fourier transforms */
  fftIfftshift(dim?: number | readonly number[] | null): Tensor {
    return wrap(call(FFT_IFFTSHIFT, this.handle, dim));
  }
}

/** `aten::where.self(Tensor condition, Tensor self, Tensor other) -> Tensor` @category comparison and logic */
export function where(condition: Tensor, self: Tensor, other: Tensor): Tensor {
  return wrap(call(WHERE_SELF, condition.handle, self.handle, other.handle));
}

/** `aten::cat(Tensor[] tensors, int dim=0) -> Tensor` @category shapes and views */
export function cat(tensors: readonly Tensor[], dim?: number): Tensor {
  return wrap(call(CAT, handlesOf(tensors), dim));
}

/** `aten::stack(Tensor[] tensors, int dim=0) -> Tensor` @category shapes and views */
export function stack(tensors: readonly Tensor[], dim?: number): Tensor {
  return wrap(call(STACK, handlesOf(tensors), dim));
}

/** `aten::meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]` @category shapes and views */
export function meshgrid(tensors: readonly Tensor[], options: { indexing: string }): Tensor[] {
  return wrapAll(call(MESHGRID_INDEXING, handlesOf(tensors), options.indexing));
}

/** `aten::broadcast_tensors(Tensor[] tensors) -> Tensor[]` @category shapes and views */
export function broadcastTensors(tensors: readonly Tensor[]): Tensor[] {
  return wrapAll(call(BROADCAST_TENSORS, handlesOf(tensors)));
}

/** `aten::complex(Tensor real, Tensor imag) -> Tensor` @category shapes and views */
export function complex(real: Tensor, imag: Tensor): Tensor {
  return wrap(call(COMPLEX, real.handle, imag.handle));
}

/** `aten::searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor` @category indexing */
export function searchsorted(sortedSequence: Tensor, self: Tensor, options: { outInt32?: boolean | undefined; right?: boolean | undefined; side?: string | null | undefined; sorter?: Tensor | null | undefined } = {}): Tensor {
  return wrap(call(SEARCHSORTED_TENSOR, sortedSequence.handle, self.handle, options.outInt32, options.right, options.side, options.sorter?.handle));
}

/** `aten::empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor` @category create */
export function empty(size: readonly number[], options: { dtype?: DType | undefined; device?: Device | undefined; memoryFormat?: MemoryFormat | undefined } = {}): Tensor {
  return wrap(call(EMPTY_MEMORY_FORMAT, size, dtypeCode(options.dtype), undefined, options.device, undefined, memoryFormatCode(options.memoryFormat)));
}

/** `aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function zeros(size: readonly number[], options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(ZEROS, size, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function ones(size: readonly number[], options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(ONES, size, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function full(size: readonly number[], fillValue: Scalar, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(FULL, size, fillValue, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function arange(start: Scalar, end: Scalar, step?: Scalar, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(ARANGE_START_STEP, start, end, step, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function linspace(start: Scalar, end: Scalar, steps: number, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(LINSPACE, start, end, steps, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::logspace(Scalar start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function logspace(start: Scalar, end: Scalar, steps: number, base?: number, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(LOGSPACE, start, end, steps, base, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::eye(int n, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function eye(n: number, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(EYE, n, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category create */
export function scalarTensor(s: Scalar, options: { dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(SCALAR_TENSOR, s, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::randn.generator(int[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category random */
export function randn(size: readonly number[], options: { generator?: Generator | null | undefined; dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(RANDN_GENERATOR, size, options.generator?.id, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::rand.generator(int[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category random */
export function rand(size: readonly number[], options: { generator?: Generator | null | undefined; dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(RAND_GENERATOR, size, options.generator?.id, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::randint.low_generator(int low, int high, int[] size, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category random */
export function randint(low: number, high: number, size: readonly number[], options: { generator?: Generator | null | undefined; dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(RANDINT_LOW_GENERATOR, low, high, size, options.generator?.id, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::randperm.generator(int n, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor` @category random */
export function randperm(n: number, options: { generator?: Generator | null | undefined; dtype?: DType | undefined; device?: Device | undefined } = {}): Tensor {
  return wrap(call(RANDPERM_GENERATOR, n, options.generator?.id, dtypeCode(options.dtype), undefined, options.device));
}

/** `aten::dropout(Tensor input, float p, bool train) -> Tensor` @category random */
export function dropout(input: Tensor, p: number, train: boolean): Tensor {
  return wrap(call(DROPOUT, input.handle, p, train));
}

/** `aten::einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor` @category linear algebra */
export function einsum(equation: string, tensors: readonly Tensor[], options: { path?: readonly number[] | null | undefined } = {}): Tensor {
  return wrap(call(EINSUM, equation, handlesOf(tensors), options.path));
}

/** `aten::linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)` @category linear algebra */
export function linalgSvd(A: Tensor, fullMatrices?: boolean, options: { driver?: string | null | undefined } = {}): [Tensor, Tensor, Tensor] {
  return wrapAll(call(LINALG_SVD, A.handle, fullMatrices, options.driver)) as [Tensor, Tensor, Tensor];
}

/** `aten::linalg_qr(Tensor A, str mode="reduced") -> (Tensor Q, Tensor R)` @category linear algebra */
export function linalgQr(A: Tensor, mode?: string): [Tensor, Tensor] {
  return wrapAll(call(LINALG_QR, A.handle, mode)) as [Tensor, Tensor];
}

/** `aten::linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor` @category linear algebra */
export function linalgSolve(A: Tensor, B: Tensor, options: { left?: boolean | undefined } = {}): Tensor {
  return wrap(call(LINALG_SOLVE, A.handle, B.handle, options.left));
}

/** `aten::linalg_inv(Tensor A) -> Tensor` @category linear algebra */
export function linalgInv(A: Tensor): Tensor {
  return wrap(call(LINALG_INV, A.handle));
}

/** `aten::linalg_det(Tensor A) -> Tensor` @category linear algebra */
export function linalgDet(A: Tensor): Tensor {
  return wrap(call(LINALG_DET, A.handle));
}

/** `aten::linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)` @category linear algebra */
export function linalgSlogdet(A: Tensor): [Tensor, Tensor] {
  return wrapAll(call(LINALG_SLOGDET, A.handle)) as [Tensor, Tensor];
}

/** `aten::cdist(Tensor x1, Tensor x2, float p=2., int? compute_mode=None) -> Tensor` @category linear algebra */
export function cdist(x1: Tensor, x2: Tensor, p?: number, computeMode?: number | null): Tensor {
  return wrap(call(CDIST, x1.handle, x2.handle, p, computeMode));
}

/** `aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor` @category network layers */
export function linear(input: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  return wrap(call(LINEAR, input.handle, weight.handle, bias?.handle));
}

/** `aten::conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=[1], int[1] padding=[0], int[1] dilation=[1], int groups=1) -> Tensor` @category network layers */
export function conv1d(input: Tensor, weight: Tensor, bias?: Tensor | null, stride?: number | readonly number[], padding?: number | readonly number[], dilation?: number | readonly number[], groups?: number): Tensor {
  return wrap(call(CONV1D, input.handle, weight.handle, bias?.handle, stride, padding, dilation, groups));
}

/** `aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] dilation=1, int groups=1) -> Tensor` @category network layers */
export function conv2d(input: Tensor, weight: Tensor, bias?: Tensor | null, stride?: number | readonly number[], padding?: number | readonly number[], dilation?: number | readonly number[], groups?: number): Tensor {
  return wrap(call(CONV2D, input.handle, weight.handle, bias?.handle, stride, padding, dilation, groups));
}

/** `aten::conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, str padding="valid", int[2] dilation=1, int groups=1) -> Tensor` @category network layers */
export function conv2dSame(input: Tensor, weight: Tensor, bias?: Tensor | null, stride?: number | readonly number[], padding?: string, dilation?: number | readonly number[], groups?: number): Tensor {
  return wrap(call(CONV2D_PADDING, input.handle, weight.handle, bias?.handle, stride, padding, dilation, groups));
}

/** `aten::conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] dilation=1, int groups=1) -> Tensor` @category network layers */
export function conv3d(input: Tensor, weight: Tensor, bias?: Tensor | null, stride?: number | readonly number[], padding?: number | readonly number[], dilation?: number | readonly number[], groups?: number): Tensor {
  return wrap(call(CONV3D, input.handle, weight.handle, bias?.handle, stride, padding, dilation, groups));
}

/** `aten::conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor` @category network layers */
export function convTranspose2d(input: Tensor, weight: Tensor, bias?: Tensor | null, stride?: number | readonly number[], padding?: number | readonly number[], outputPadding?: number | readonly number[], groups?: number, dilation?: number | readonly number[]): Tensor {
  return wrap(call(CONV_TRANSPOSE2D_INPUT, input.handle, weight.handle, bias?.handle, stride, padding, outputPadding, groups, dilation));
}

/** `aten::convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, bool transposed, int[] output_padding, int groups) -> Tensor` @category network layers */
export function convolution(input: Tensor, weight: Tensor, bias: Tensor | null, stride: readonly number[], padding: readonly number[], dilation: readonly number[], transposed: boolean, outputPadding: readonly number[], groups: number): Tensor {
  return wrap(call(CONVOLUTION, input.handle, weight.handle, bias?.handle, stride, padding, dilation, transposed, outputPadding, groups));
}

/** `aten::grid_sampler(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor` @category network layers */
export function gridSampler(input: Tensor, grid: Tensor, interpolationMode: number, paddingMode: number, alignCorners: boolean): Tensor {
  return wrap(call(GRID_SAMPLER, input.handle, grid.handle, interpolationMode, paddingMode, alignCorners));
}

/** `aten::affine_grid_generator(Tensor theta, int[] size, bool align_corners) -> Tensor` @category network layers */
export function affineGridGenerator(theta: Tensor, size: readonly number[], alignCorners: boolean): Tensor {
  return wrap(call(AFFINE_GRID_GENERATOR, theta.handle, size, alignCorners));
}

/** `aten::group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor` @category network layers */
export function groupNorm(input: Tensor, numGroups: number, weight?: Tensor | null, bias?: Tensor | null, eps?: number, cudnnEnabled?: boolean): Tensor {
  return wrap(call(GROUP_NORM, input.handle, numGroups, weight?.handle, bias?.handle, eps, cudnnEnabled));
}

/** `aten::layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor` @category network layers */
export function layerNorm(input: Tensor, normalizedShape: readonly number[], weight?: Tensor | null, bias?: Tensor | null, eps?: number, cudnnEnable?: boolean): Tensor {
  return wrap(call(LAYER_NORM, input.handle, normalizedShape, weight?.handle, bias?.handle, eps, cudnnEnable));
}

/** `aten::batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor` @category network layers */
export function batchNorm(input: Tensor, weight: Tensor | null, bias: Tensor | null, runningMean: Tensor | null, runningVar: Tensor | null, training: boolean, momentum: number, eps: number, cudnnEnabled: boolean): Tensor {
  return wrap(call(BATCH_NORM, input.handle, weight?.handle, bias?.handle, runningMean?.handle, runningVar?.handle, training, momentum, eps, cudnnEnabled));
}

/** `aten::instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor` @category network layers */
export function instanceNorm(input: Tensor, weight: Tensor | null, bias: Tensor | null, runningMean: Tensor | null, runningVar: Tensor | null, useInputStats: boolean, momentum: number, eps: number, cudnnEnabled: boolean): Tensor {
  return wrap(call(INSTANCE_NORM, input.handle, weight?.handle, bias?.handle, runningMean?.handle, runningVar?.handle, useInputStats, momentum, eps, cudnnEnabled));
}

/** `aten::embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor` @category network layers */
export function embedding(weight: Tensor, indices: Tensor, paddingIdx?: number, scaleGradByFreq?: boolean, sparse?: boolean): Tensor {
  return wrap(call(EMBEDDING, weight.handle, indices.handle, paddingIdx, scaleGradByFreq, sparse));
}

/** `aten::_foreach_add.List(Tensor[] self, Tensor[] other, *, Scalar alpha=1) -> Tensor[]` @category lists of tensors at once */
export function foreachAdd(self: readonly Tensor[], other: readonly Tensor[], options: { alpha?: Scalar | undefined } = {}): Tensor[] {
  return wrapAll(call(FOREACH_ADD_LIST, handlesOf(self), handlesOf(other), options.alpha));
}

/** `aten::_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()` @category lists of tensors at once */
export function foreachAdd_(self: readonly Tensor[], other: readonly Tensor[], options: { alpha?: Scalar | undefined } = {}): void {
  call(FOREACH_ADD__LIST, handlesOf(self), handlesOf(other), options.alpha);
}

/** `aten::_foreach_add.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]` @category lists of tensors at once */
export function foreachAddScalar(self: readonly Tensor[], scalar: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_ADD_SCALAR, handlesOf(self), scalar));
}

/** `aten::_foreach_add_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` @category lists of tensors at once */
export function foreachAddScalar_(self: readonly Tensor[], scalar: Scalar): void {
  call(FOREACH_ADD__SCALAR, handlesOf(self), scalar);
}

/** `aten::_foreach_mul.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]` @category lists of tensors at once */
export function foreachMul(self: readonly Tensor[], scalar: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_MUL_SCALAR, handlesOf(self), scalar));
}

/** `aten::_foreach_mul_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` @category lists of tensors at once */
export function foreachMul_(self: readonly Tensor[], scalar: Scalar): void {
  call(FOREACH_MUL__SCALAR, handlesOf(self), scalar);
}

/** `aten::_foreach_mul.List(Tensor[] self, Tensor[] other) -> Tensor[]` @category lists of tensors at once */
export function foreachMulList(self: readonly Tensor[], other: readonly Tensor[]): Tensor[] {
  return wrapAll(call(FOREACH_MUL_LIST, handlesOf(self), handlesOf(other)));
}

/** `aten::_foreach_mul_.List(Tensor(a!)[] self, Tensor[] other) -> ()` @category lists of tensors at once */
export function foreachMulList_(self: readonly Tensor[], other: readonly Tensor[]): void {
  call(FOREACH_MUL__LIST, handlesOf(self), handlesOf(other));
}

/** `aten::_foreach_div.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]` @category lists of tensors at once */
export function foreachDiv(self: readonly Tensor[], scalar: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_DIV_SCALAR, handlesOf(self), scalar));
}

/** `aten::_foreach_div_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()` @category lists of tensors at once */
export function foreachDiv_(self: readonly Tensor[], scalar: Scalar): void {
  call(FOREACH_DIV__SCALAR, handlesOf(self), scalar);
}

/** `aten::_foreach_addcmul.Scalar(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> Tensor[]` @category lists of tensors at once */
export function foreachAddcmul(self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_ADDCMUL_SCALAR, handlesOf(self), handlesOf(tensor1), handlesOf(tensor2), value));
}

/** `aten::_foreach_addcmul_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()` @category lists of tensors at once */
export function foreachAddcmul_(self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: Scalar): void {
  call(FOREACH_ADDCMUL__SCALAR, handlesOf(self), handlesOf(tensor1), handlesOf(tensor2), value);
}

/** `aten::_foreach_addcdiv.Scalar(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> Tensor[]` @category lists of tensors at once */
export function foreachAddcdiv(self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_ADDCDIV_SCALAR, handlesOf(self), handlesOf(tensor1), handlesOf(tensor2), value));
}

/** `aten::_foreach_addcdiv_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()` @category lists of tensors at once */
export function foreachAddcdiv_(self: readonly Tensor[], tensor1: readonly Tensor[], tensor2: readonly Tensor[], value?: Scalar): void {
  call(FOREACH_ADDCDIV__SCALAR, handlesOf(self), handlesOf(tensor1), handlesOf(tensor2), value);
}

/** `aten::_foreach_sqrt(Tensor[] self) -> Tensor[]` @category lists of tensors at once */
export function foreachSqrt(self: readonly Tensor[]): Tensor[] {
  return wrapAll(call(FOREACH_SQRT, handlesOf(self)));
}

/** `aten::_foreach_sqrt_(Tensor(a!)[] self) -> ()` @category lists of tensors at once */
export function foreachSqrt_(self: readonly Tensor[]): void {
  call(FOREACH_SQRT_, handlesOf(self));
}

/** `aten::_foreach_zero(Tensor[] self) -> Tensor[] self_out` @category lists of tensors at once */
export function foreachZero(self: readonly Tensor[]): Tensor[] {
  return wrapAll(call(FOREACH_ZERO, handlesOf(self)));
}

/** `aten::_foreach_zero_(Tensor(a!)[] self) -> ()` @category lists of tensors at once */
export function foreachZero_(self: readonly Tensor[]): void {
  call(FOREACH_ZERO_, handlesOf(self));
}

/** `aten::_foreach_norm.Scalar(Tensor[] self, Scalar ord=2) -> Tensor[]` @category lists of tensors at once */
export function foreachNorm(self: readonly Tensor[], ord?: Scalar): Tensor[] {
  return wrapAll(call(FOREACH_NORM_SCALAR, handlesOf(self), ord));
}
