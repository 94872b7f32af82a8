// stf::group_norm: group normalisation fused with its neighbours in a residual block, for channels_last images on the CPU:
// a shift per sample and channel before it, a scale and a bias per sample and channel after it, SiLU, dropout.
//
// Why it exists: libtorch 1.13 normalises channels_last images of less than 1024 pixels with a loop that does not
// vectorise when a group has few channels (15 times slower than its NCHW loop), computes the rest in separate passes, and
// draws dropout masks number by number on one thread, which alone took an eighth of a training step.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <numeric>

#include "group_norm_loops.h"
#include "instruction_set.h"
#include "parallel.h"
#include "scratch.h"
#include "stock_gradients.h"
#ifdef CUDA_KERNELS
#include "cuda/gpu.h"
#endif

namespace addon {
namespace {

const GroupNormKernels& kernels() {
  static const GroupNormKernels chosen = FOR_THIS_PROCESSOR(groupNormKernels);
  return chosen;
}

template <class T>
const GroupNormLoops<T>& loopsFor();
template <>
const GroupNormLoops<float>& loopsFor() {
  return kernels().float32;
}
template <>
const GroupNormLoops<c10::BFloat16>& loopsFor() {
  return kernels().bfloat16;
}

// Everything but the tensors.
struct Settings {
  int64_t groups;
  double eps;
  bool silu;
  double dropout;
  int64_t key;    // of the dropout mask
  int64_t first;  // the number of the first sample there
};

struct Inputs {
  at::Tensor x;
  at::Tensor weight;  // [C], or [B, C] for one per sample
  at::Tensor bias;    // as the weight
  at::Tensor shift;   // [B, C], or undefined
};

bool isAsked(const at::Tensor& input) { return input.defined() && input.requires_grad(); }

// Whether GPU kernels may read it 16 bytes at a time.
bool isAligned(const at::Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0; }

// A gradient that was computed for every sample, in the shape of the input; undefined if it is not needed.
at::Tensor ofInput(const at::Tensor& input, const at::Tensor& rows) {
  if (!isAsked(input)) return {};
  return input.dim() == 2 ? rows : rows.sum(0);
}

// Channels of one task: whole groups and, if there are enough channels, whole vectors. The data of a task
// should stay in the cache until it reads them again.
int64_t blockOf(int64_t channels, int64_t groups) {
  constexpr int64_t wanted = 64;
  const int64_t unit = std::lcm(channels / groups, kernels().width);
  return std::min(channels, (wanted + unit - 1) / unit * unit);
}

// Calls body(task, offset of the sample's activations, sample, scratch memory) for every sample and block of channels.
template <class Body>
void overTasks(const Inputs& in, const at::Tensor& mean, const at::Tensor& rstd, const Settings& settings,
               int64_t (*scratchSize)(int64_t pixels, int64_t channels), Body&& body) {
  const int64_t samples = in.x.size(0), channels = in.x.size(1), pixels = in.x.size(2) * in.x.size(3);
  const int64_t block = blockOf(channels, settings.groups), blocks = (channels + block - 1) / block;
  const int64_t perSample = in.weight.dim() == 2 ? channels : 0;
  const float *weight = in.weight.data_ptr<float>(), *bias = in.bias.data_ptr<float>();
  const float* shift = in.shift.defined() ? in.shift.data_ptr<float>() : nullptr;
  float *means = mean.data_ptr<float>(), *rstds = rstd.data_ptr<float>();
  const ScratchPerThread memory(scratchSize(pixels, block));
  parallelFor(samples * blocks, 1, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t n = i / blocks, begin = i % blocks * block;
      GroupNormTask task{pixels, channels, settings.groups, begin, std::min(begin + block, channels),
                         shift ? shift + n * channels : nullptr, weight + n * perSample, bias + n * perSample,
                         means + n * settings.groups, rstds + n * settings.groups, static_cast<float>(settings.eps),
                         settings.silu, {}};
      if (settings.dropout > 0) {
        task.dropout = Dropout(settings.dropout, static_cast<uint64_t>(settings.key), static_cast<uint64_t>(settings.first + n));
      }
      body(task, n * pixels * channels, n, memory.ofThisThread());
    }
  });
}

template <class T>
std::vector<at::Tensor> forward(const Inputs& in, const Settings& settings) {
  at::Tensor y = at::empty_like(in.x, in.x.options(), at::MemoryFormat::ChannelsLast);
  at::Tensor mean = at::empty({in.x.size(0), settings.groups}, in.x.options().dtype(at::kFloat));
  at::Tensor rstd = at::empty_like(mean);
  const T* x = in.x.data_ptr<T>();
  T* out = y.data_ptr<T>();
  overTasks(in, mean, rstd, settings, loopsFor<T>().forwardScratch, [&](const GroupNormTask& task, int64_t offset, int64_t, float* memory) {
    loopsFor<T>().forward(task, x + offset, out + offset, memory);
  });
  return {y, mean, rstd};
}

// Gradients of x, weight, bias and shift; of the last three only those that are needed.
template <class T>
std::vector<at::Tensor> backward(const at::Tensor& dy, const Inputs& in, const at::Tensor& mean, const at::Tensor& rstd,
                                 const Settings& settings) {
  const int64_t channels = in.x.size(1);
  at::Tensor dx = at::empty_like(in.x, in.x.options(), at::MemoryFormat::ChannelsLast);
  // One row per sample, summed afterwards: the result does not depend on how samples are assigned to threads.
  at::Tensor dWeight = at::empty({in.x.size(0), channels}, mean.options());
  at::Tensor dBias = at::empty_like(dWeight), dShift;
  if (isAsked(in.shift)) dShift = at::empty_like(dWeight);
  const T *given = dy.data_ptr<T>(), *x = in.x.data_ptr<T>();
  T* out = dx.data_ptr<T>();
  float *dw = dWeight.data_ptr<float>(), *db = dBias.data_ptr<float>();
  float* ds = dShift.defined() ? dShift.data_ptr<float>() : nullptr;
  overTasks(in, mean, rstd, settings, loopsFor<T>().backwardScratch, [&](const GroupNormTask& task, int64_t offset, int64_t n, float* memory) {
    loopsFor<T>().backward(task, given + offset, x + offset, out + offset, dw + n * channels, db + n * channels,
                           ds ? ds + n * channels : nullptr, memory);
  });
  return {dx, ofInput(in.weight, dWeight), ofInput(in.bias, dBias), dShift};
}

#ifdef CUDA_KERNELS
cuda::GroupNormCall callOf(const Inputs& in, const at::Tensor& mean, const at::Tensor& rstd, const Settings& settings) {
  const cuda::GroupNormShape shape{cuda::elementOf(in.x), in.x.size(0), in.x.size(2) * in.x.size(3), in.x.size(1), settings.groups};
  return {shape,
          in.x.data_ptr(),
          in.weight.data_ptr<float>(),
          in.bias.data_ptr<float>(),
          in.shift.defined() ? in.shift.data_ptr<float>() : nullptr,
          in.weight.dim() == 2,
          static_cast<float>(settings.eps),
          settings.silu,
          settings.dropout,
          static_cast<uint64_t>(settings.key),
          static_cast<uint64_t>(settings.first),
          mean.data_ptr<float>(),
          rstd.data_ptr<float>()};
}

std::vector<at::Tensor> forwardOnGpu(const Inputs& in, const Settings& settings) {
  at::Tensor y = at::empty_like(in.x, in.x.options(), at::MemoryFormat::ChannelsLast);
  at::Tensor mean = at::empty({in.x.size(0), settings.groups}, in.x.options().dtype(at::kFloat));
  at::Tensor rstd = at::empty_like(mean);
  const cuda::GroupNormCall call = callOf(in, mean, rstd, settings);
  const at::Tensor scratch = at::empty({cuda::groupNormForwardScratch(call.shape)}, mean.options());
  cuda::launchOn(in.x, "group norm",
                 [&](cuda::Stream stream) { return cuda::groupNormForward(call, y.data_ptr(), scratch.data_ptr<float>(), stream); });
  return {y, mean, rstd};
}

std::vector<at::Tensor> backwardOnGpu(const at::Tensor& dy, const Inputs& in, const at::Tensor& mean, const at::Tensor& rstd,
                                      const Settings& settings) {
  at::Tensor dx = at::empty_like(in.x, in.x.options(), at::MemoryFormat::ChannelsLast);
  at::Tensor dWeight = at::empty({in.x.size(0), in.x.size(1)}, mean.options());
  at::Tensor dBias = at::empty_like(dWeight), dShift = at::empty_like(dWeight);
  const cuda::GroupNormCall call = callOf(in, mean, rstd, settings);
  const at::Tensor scratch = at::empty({cuda::groupNormBackwardScratch(call.shape)}, mean.options());
  cuda::launchOn(in.x, "the gradient of group norm", [&](cuda::Stream stream) {
    return cuda::groupNormBackward(call, dy.data_ptr(), dx.data_ptr(), dWeight.data_ptr<float>(), dBias.data_ptr<float>(),
                                   dShift.data_ptr<float>(), scratch.data_ptr<float>(), stream);
  });
  return {dx, ofInput(in.weight, dWeight), ofInput(in.bias, dBias), isAsked(in.shift) ? dShift : at::Tensor()};
}

bool isSupportedOnGpu(const Inputs& in, int64_t groups) {
  return isAligned(in.x) &&
         cuda::groupNormFits({cuda::elementOf(in.x), in.x.size(0), in.x.size(2) * in.x.size(3), in.x.size(1), groups});
}
#else
std::vector<at::Tensor> forwardOnGpu(const Inputs&, const Settings&) { return {}; }
std::vector<at::Tensor> backwardOnGpu(const at::Tensor&, const Inputs&, const at::Tensor&, const at::Tensor&, const Settings&) { return {}; }
bool isSupportedOnGpu(const Inputs&, int64_t) { return false; }
#endif

std::vector<at::Tensor> forwardOf(const Inputs& in, const Settings& settings) {
  if (in.x.is_cuda()) return forwardOnGpu(in, settings);
  return in.x.scalar_type() == at::kFloat ? forward<float>(in, settings) : forward<c10::BFloat16>(in, settings);
}

std::vector<at::Tensor> backwardOf(const at::Tensor& dy, const Inputs& in, const at::Tensor& mean, const at::Tensor& rstd,
                                   const Settings& settings) {
  if (in.x.is_cuda()) return backwardOnGpu(dy, in, mean, rstd, settings);
  return in.x.scalar_type() == at::kFloat ? backward<float>(dy, in, mean, rstd, settings) : backward<c10::BFloat16>(dy, in, mean, rstd, settings);
}

// Where the loops do not apply: other devices, dtypes and layouts.
bool isSupported(const Inputs& in, int64_t groups) {
  const auto dtype = in.x.scalar_type();
  const auto isRow = [](const at::Tensor& row) { return row.scalar_type() == at::kFloat && row.is_contiguous(); };
  const bool isFit = in.x.dim() == 4 && (dtype == at::kFloat || dtype == at::kBFloat16) && in.x.numel() > 0 &&
         in.x.is_contiguous(at::MemoryFormat::ChannelsLast) && isRow(in.weight) && isRow(in.bias) &&
         (!in.shift.defined() || isRow(in.shift));
  return isFit && (in.x.device().is_cpu() || (in.x.is_cuda() && isSupportedOnGpu(in, groups)));
}

// A row per channel, or per sample and channel, in a shape and dtype that match x.
at::Tensor asChannels(const at::Tensor& row, const at::Tensor& x) {
  std::vector<int64_t> shape(x.dim(), 1);
  if (row.dim() == 2) shape[0] = row.size(0);
  shape[1] = x.size(1);
  return row.to(x.scalar_type()).reshape(shape);
}

// z ^ (z >> bits), for integers from 0 to 2^32 - 1.
at::Tensor folded(const at::Tensor& z, int64_t bits) { return at::bitwise_xor(z, at::bitwise_right_shift(z, at::Scalar(bits))); }

// Dropout::hash of every element of one sample, by stock operators: [pixels * channels].
at::Tensor hashes(const Dropout& dropout, int64_t elements, at::Device device) {
  constexpr int64_t word = 0xffffffff;
  at::Tensor h = at::arange(elements, at::TensorOptions(at::kLong).device(device)).add_(int64_t{dropout.first}).bitwise_and_(word);
  h = folded(h, 16).mul_(int64_t{0x7feb352d}).bitwise_and_(word);
  h = folded(h, 15).bitwise_xor_(int64_t{dropout.second}).mul_(int64_t{0x846ca68b}).bitwise_and_(word);
  return folded(h, 16);
}

// The factors of dropout: the same masks as in the loops and the GPU kernels.
at::Tensor keepFactors(const at::Tensor& x, const Settings& settings) {
  const double keep = 1 - settings.dropout;
  const int64_t samples = x.size(0), channels = x.size(1), pixels = x.numel() / std::max<int64_t>(samples * channels, 1);
  at::Tensor factors = at::empty({samples, pixels, channels}, x.options());
  for (int64_t n = 0; n < samples; ++n) {
    const Dropout dropout(settings.dropout, static_cast<uint64_t>(settings.key), static_cast<uint64_t>(settings.first + n));
    const at::Tensor kept = hashes(dropout, pixels * channels, x.device()).ge_(int64_t{dropout.threshold});
    factors.select(0, n).copy_(kept.view({pixels, channels}));
  }
  return factors.div_(keep).transpose(1, 2).reshape(x.sizes());
}

at::Tensor stock(const Inputs& in, const Settings& settings) {
  const at::Tensor x = in.shift.defined() ? in.x + asChannels(in.shift, in.x) : in.x;
  const auto dtype = x.scalar_type();
  at::Tensor y = in.weight.dim() == 1
                     ? at::group_norm(x, settings.groups, in.weight.to(dtype), in.bias.to(dtype), settings.eps)
                     : at::group_norm(x, settings.groups, {}, {}, settings.eps) * asChannels(in.weight, x) + asChannels(in.bias, x);
  if (settings.silu) y = at::silu(y);
  return settings.dropout > 0 ? y * keepFactors(y.detach(), settings) : y;
}

class GroupNorm : public torch::autograd::Function<GroupNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const c10::optional<at::Tensor>& shift, const Settings& settings) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const Inputs in{x, weight, bias, shift.value_or(at::Tensor())};
    const auto results = forwardOf(in, settings);
    context->save_for_backward({x, weight, bias, in.shift, results[1], results[2]});
    context->saved_data["eps"] = settings.eps;
    context->saved_data["silu"] = settings.silu;
    context->saved_data["dropout"] = settings.dropout;
    context->saved_data["key"] = settings.key;
    context->saved_data["first"] = settings.first;
    return results[0];
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const Inputs in{saved[0], saved[1], saved[2], saved[3]};
    const Settings settings{saved[4].size(1), data["eps"].toDouble(), data["silu"].toBool(), data["dropout"].toDouble(),
                            data["key"].toInt(), data["first"].toInt()};
    if (at::GradMode::is_enabled()) {
      auto results = stockGradients(stock(in, settings), {in.x, in.weight, in.bias, in.shift}, gradients[0]);
      results.emplace_back();
      return results;
    }
    const at::Tensor dy = gradients[0].to(in.x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const auto results = backwardOf(isAligned(dy) ? dy : dy.clone(at::MemoryFormat::ChannelsLast), in, saved[4], saved[5], settings);
    return {results[0], results[1], results[2], results[3], at::Tensor()};
  }
};

void checkRow(const at::Tensor& row, const char* name, const at::Tensor& x, bool isPerSample) {
  const bool fits = row.dim() == 2 ? row.size(0) == x.size(0) && row.size(1) == x.size(1) : row.dim() == 1 && !isPerSample && row.size(0) == x.size(1);
  TORCH_CHECK(fits, name, " must have ", isPerSample ? "" : "a number per channel, or ", "one per sample and channel, for [", x.size(0), ", ", x.size(1),
              "], found ", row.sizes());
  TORCH_CHECK(row.device() == x.device(), name, " must be on the input's device, ", x.device(), ", found ", row.device());
}

at::Tensor groupNorm(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu,
                     const c10::optional<at::Tensor>& shift, double dropout, c10::optional<int64_t> key, int64_t first) {
  TORCH_CHECK(x.dim() >= 2 && groups > 0 && x.size(1) % groups == 0, "the ", x.dim() >= 2 ? x.size(1) : 0,
              " channels must divide into ", groups, " groups");
  TORCH_CHECK(dropout >= 0 && dropout < 1, "the probability of dropout must be in [0, 1), found ", dropout);
  const Inputs in{x, weight, bias, shift ? *shift : at::Tensor()};
  checkRow(weight, "weight", x, false);
  checkRow(bias, "bias", x, false);
  TORCH_CHECK(weight.dim() == bias.dim(), "weight and bias must have the same shape, found ", weight.sizes(), " and ", bias.sizes());
  if (in.shift.defined()) checkRow(in.shift, "shift", x, true);
  Settings settings{groups, eps, silu, dropout, key.value_or(0), first};
  if (dropout > 0 && !key) {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    const std::lock_guard<std::mutex> lock(generator.mutex());
    settings.key = static_cast<int64_t>(at::check_generator<at::CPUGeneratorImpl>(generator)->random64());
  }
  return isSupported(in, groups) ? GroupNorm::apply(x, weight, bias, shift, settings) : stock(in, settings);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def(
      "group_norm(Tensor x, int groups, Tensor weight, Tensor bias, float eps, bool silu=False, Tensor? shift=None, "
      "float dropout=0., int? key=None, int first=0) -> Tensor");
}

// One implementation for all backends: it inspects the tensors, and includes the gradient.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("group_norm", groupNorm); }

}  // namespace addon
