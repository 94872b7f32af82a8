// JavaScript values to IValue and back, directed by the types in an operator's schema.
#pragma once

#include <node_api.h>

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "handles.h"

namespace addon {

enum class Kind {
  Tensor,
  TensorList,
  OptionalTensorList,
  Scalar,
  ScalarList,
  Int,
  IntList,
  Float,
  FloatList,
  Bool,
  BoolList,
  String,
  Device,
  Generator,
  Unsupported,
};

struct Parameter {
  std::string name;
  std::string type;
  Kind kind = Kind::Unsupported;
  bool optional = false;
  int broadcastLength = 0;  // int[2] and similar types accept a single number, repeated this many times; otherwise 0
  c10::optional<c10::IValue> fallback;
};

Parameter describe(const c10::Argument& argument);
c10::IValue toIValue(napi_env env, napi_value value, const Parameter& parameter);
c10::IValue toIValue(double number, const Parameter& parameter);
napi_value fromIValue(napi_env env, const c10::IValue& value);

// The shapes and dtypes of the tensors among the arguments, for error messages; never throws.
std::string describeArguments(napi_env env, const std::vector<Parameter>& parameters, const napi_value* values, size_t count);
std::string describeArguments(const std::vector<Parameter>& parameters, const double* numbers, size_t count);

Handle toHandle(napi_env env, napi_value value);
int64_t toInteger(napi_env env, napi_value value, const char* what);
double toDouble(napi_env env, napi_value value, const char* what);
bool toBool(napi_env env, napi_value value, const char* what);
std::string toString(napi_env env, napi_value value);
std::vector<int64_t> toIntegers(napi_env env, napi_value value, const char* what);
std::vector<at::Tensor> toTensors(napi_env env, napi_value value);

napi_value fromDouble(napi_env env, double value);
napi_value fromInteger(napi_env env, int64_t value);
napi_value fromBool(napi_env env, bool value);
napi_value fromString(napi_env env, const std::string& value);
napi_value fromIntegers(napi_env env, at::IntArrayRef values);
napi_value fromTensor(napi_env env, at::Tensor tensor);  // null for an undefined tensor
napi_value undefinedValue(napi_env env);

}  // namespace addon
