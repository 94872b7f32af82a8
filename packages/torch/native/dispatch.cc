// One function calls every operator of libtorch: look up the schema, convert the arguments, callBoxed, convert back.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/csrc/api/include/torch/version.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <sstream>

#include "addon.h"
#include "convert.h"
#include "guard.h"

namespace addon {
namespace {

struct Operator {
  c10::optional<c10::OperatorHandle> handle;  // empty when this libtorch has no such operator
  std::string name;
  std::vector<Parameter> parameters;
  // A result that is one of the written arguments (in-place and out= forms) is not returned: the caller has it.
  std::vector<bool> handsBack;
};

std::vector<Operator>& operators() {
  static auto* instance = new std::vector<Operator>;
  return *instance;
}

Operator describeOperator(const c10::OperatorHandle& handle) {
  const auto& schema = handle.schema();
  Operator op{handle, schema.name(), {}, {}};
  if (!schema.overload_name().empty()) op.name += "." + schema.overload_name();
  for (const auto& argument : schema.arguments()) op.parameters.push_back(describe(argument));
  for (const auto& result : schema.returns()) {
    const auto* alias = result.alias_info();
    op.handsBack.push_back(!(alias && alias->isWrite()));
  }
  return op;
}

c10::optional<c10::OperatorHandle> find(const std::string& fullName) {
  const auto dot = fullName.find('.');
  const std::string name = fullName.substr(0, dot);
  const std::string overload = dot == std::string::npos ? "" : fullName.substr(dot + 1);
  return c10::Dispatcher::singleton().findSchema({name, overload});
}

constexpr size_t kMostArguments = 32;

}  // namespace

// operator(name: "aten::add.Tensor") -> index for call(); one that this libtorch lacks fails when it is called
napi_value findOperator(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [value] = arguments<1>(env, info);
    const std::string name = toString(env, value);
    const auto handle = find(name);
    operators().push_back(handle ? describeOperator(*handle) : Operator{{}, name, {}, {}});
    return fromInteger(env, static_cast<int64_t>(operators().size()) - 1);
  });
}

// hasOperator(name) -> boolean
napi_value hasOperator(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [name] = arguments<1>(env, info);
    return fromBool(env, find(toString(env, name)).has_value());
  });
}

// schemas() -> the text of every schema
napi_value listSchemas(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    std::vector<std::string> texts;
    for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
      const auto handle = c10::Dispatcher::singleton().findSchema(name);
      if (!handle) continue;
      std::ostringstream text;
      text << handle->schema();
      texts.push_back(text.str());
    }
    napi_value array;
    check(env, napi_create_array_with_length(env, texts.size(), &array), "an array");
    for (size_t i = 0; i < texts.size(); ++i) {
      check(env, napi_set_element(env, array, static_cast<uint32_t>(i), fromString(env, texts[i])), "an element");
    }
    return array;
  });
}

// numbers[0] is the operator, numbers[1] how many arguments follow. JavaScript writes to the same memory: a call with
// only tensors and numbers, as nearly all calls are, then needs no N-API function.
double* sharedNumbers = nullptr;

void shareNumbers(napi_env env, napi_value array) {
  static napi_ref reference;  // keeps the memory
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  check(env, napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr), "expected a Float64Array");
  if (type != napi_float64_array || length < kMostArguments + 2) throw UsageError("expected a Float64Array of 34 numbers");
  check(env, napi_create_reference(env, array, 1, &reference), "expected a Float64Array");
  sharedNumbers = static_cast<double*>(data);
}

namespace {

const Operator& operatorAt(int64_t index) {
  if (index < 0 || index >= static_cast<int64_t>(operators().size())) throw UsageError("expected the index of an operator");
  return operators()[index];
}

// Converts `count` arguments with convert(i, parameter), calls, and passes the results to finish(stack). Failures are
// reported with the shapes from describe().
template <class Convert, class Describe, class Finish>
napi_value invoke(napi_env env, const Operator& op, size_t count, Convert&& convert, Describe&& describe, Finish&& finish) {
  thread_local torch::jit::Stack stack;
  const auto explain = [&](const std::string& reason) {
    stack.clear();  // the arguments of a failed call must not live until the next one
    const std::string shapes = describe();
    throwTorchError(env, op.name + (shapes.empty() ? "" : " (" + shapes + ")") + ": " + reason);
    return nullptr;
  };
  try {
    if (!op.handle) throw UsageError("this libtorch (" TORCH_VERSION ") has no such operator");
    const auto& parameters = op.parameters;
    if (count > parameters.size()) throw UsageError("it takes at most " + std::to_string(parameters.size()) + " arguments, found " + std::to_string(count));
    stack.clear();
    for (size_t i = 0; i < parameters.size(); ++i) {
      try {
        if (i < count) {
          stack.push_back(convert(i, parameters[i]));
        } else if (parameters[i].fallback) {
          stack.push_back(*parameters[i].fallback);
        } else if (parameters[i].optional) {
          stack.emplace_back();
        } else {
          throw UsageError("it is missing");
        }
      } catch (const UsageError& error) {
        throw UsageError("argument '" + parameters[i].name + "': " + error.what());
      }
    }
    op.handle->callBoxed(stack);
    const napi_value result = finish(stack);
    stack.clear();
    return result;
  } catch (const c10::Error& error) {
    return explain(error.what_without_backtrace());
  } catch (const UsageError& error) {
    return explain(error.what());
  } catch (const std::bad_alloc&) {
    return explain("out of memory");
  } catch (const PendingException&) {
    stack.clear();
    throw;
  } catch (const std::exception& error) {
    return explain(error.what());
  }
}

// The returned results: none, one, or an array.
napi_value toResults(napi_env env, const Operator& op, const torch::jit::Stack& stack) {
  constexpr size_t kMostResults = 8;
  // Counted first: a tensor that was given a handle and then dropped would never be freed.
  const auto handed = std::count(op.handsBack.begin(), op.handsBack.end(), true);
  if (handed > static_cast<int64_t>(kMostResults)) throw UsageError("operators with more than 8 results cannot be called");
  napi_value results[kMostResults];
  size_t kept = 0;
  for (size_t i = 0; i < stack.size(); ++i) {
    if (op.handsBack[i]) results[kept++] = fromIValue(env, stack[i]);
  }
  if (kept == 0) return nullptr;
  if (kept == 1) return results[0];
  napi_value array;
  check(env, napi_create_array_with_length(env, kept, &array), "an array");
  for (size_t i = 0; i < kept; ++i) check(env, napi_set_element(env, array, static_cast<uint32_t>(i), results[i]), "an element");
  return array;
}

}  // namespace

// call(index, ...arguments) -> the results
napi_value call(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value values[kMostArguments + 1];
    size_t count = kMostArguments + 1;
    check(env, napi_get_cb_info(env, info, &count, values, nullptr, nullptr), "the arguments must be readable");
    if (count == 0 || count > kMostArguments + 1) throw UsageError("expected an operator and at most 32 arguments");
    const Operator& op = operatorAt(toInteger(env, values[0], "an operator"));
    return invoke(
        env, op, count - 1, [&](size_t i, const Parameter& parameter) { return toIValue(env, values[i + 1], parameter); },
        [&] { return describeArguments(env, op.parameters, values + 1, count - 1); },
        [&](const torch::jit::Stack& stack) { return toResults(env, op, stack); });
  });
}

// callNumbers(): the operator and the arguments are in the shared numbers. A single tensor is returned as numbers[0], other
// results as in call(), with numbers[0] set to NaN.
napi_value callNumbers(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    const Operator& op = operatorAt(static_cast<int64_t>(sharedNumbers[0]));
    const auto count = static_cast<size_t>(sharedNumbers[1]);
    const double* numbers = sharedNumbers + 2;
    return invoke(
        env, op, count, [&](size_t i, const Parameter& parameter) { return toIValue(numbers[i], parameter); },
        [&] { return describeArguments(op.parameters, numbers, count); },
        [&](torch::jit::Stack& stack) -> napi_value {
          sharedNumbers[0] = std::numeric_limits<double>::quiet_NaN();
          const bool single = stack.size() == 1 && op.handsBack[0] && stack[0].isTensor() && stack[0].toTensor().defined();
          if (!single) return toResults(env, op, stack);
          sharedNumbers[0] = static_cast<double>(insertTensor(std::move(stack[0]).toTensor()));
          return nullptr;
        });
  });
}

// repeat(index, count, ...arguments) -> seconds that `count` boxed calls from C++ take: a lower bound for any binding
napi_value repeatCall(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    napi_value values[kMostArguments + 2];
    size_t count = kMostArguments + 2;
    check(env, napi_get_cb_info(env, info, &count, values, nullptr, nullptr), "the arguments must be readable");
    if (count < 2 || count > kMostArguments + 2) throw UsageError("expected an operator, a count and at most 32 arguments");
    const Operator& op = operatorAt(toInteger(env, values[0], "an operator"));
    const int64_t repetitions = toInteger(env, values[1], "a count");
    if (!op.handle) throw UsageError("expected the index of an operator");
    torch::jit::Stack arguments;
    for (size_t i = 0; i < op.parameters.size(); ++i) {
      arguments.push_back(toIValue(env, i + 2 < count ? values[i + 2] : undefinedValue(env), op.parameters[i]));
    }
    torch::jit::Stack stack;
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < repetitions; ++i) {
      stack.assign(arguments.begin(), arguments.end());
      op.handle->callBoxed(stack);
    }
    return fromDouble(env, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  });
}

}  // namespace addon
