#include "convert.h"

#include <ATen/core/List.h>
#include <c10/core/Device.h>

#include <cmath>
#include <sstream>

#include "guard.h"
#include "random.h"

namespace addon {
namespace {

constexpr double kLargestSafeInteger = 9007199254740991.0;

napi_valuetype typeOf(napi_env env, napi_value value) {
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type), "the value must have a type");
  return type;
}

bool isNothing(napi_env env, napi_value value) {
  const auto type = typeOf(env, value);
  return type == napi_undefined || type == napi_null;
}

template <class Visit>
void forEachElement(napi_env env, napi_value array, const char* what, Visit&& visit) {
  uint32_t length = 0;
  check(env, napi_get_array_length(env, array, &length), what);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    check(env, napi_get_element(env, array, i, &element), what);
    visit(element);
  }
}

bool isWhole(double number) { return std::trunc(number) == number && std::abs(number) <= kLargestSafeInteger; }

int64_t wholeNumber(double number, const char* what) {
  if (isWhole(number)) return static_cast<int64_t>(number);
  std::ostringstream message;
  message << "expected " << what << ", found " << number;
  throw UsageError(message.str());
}

// Whole numbers become integers, as in Python, so that an integer tensor plus 1 stays an integer tensor.
// Minus zero has to remain a float.
c10::Scalar toScalar(double number) {
  if (isWhole(number) && !(number == 0 && std::signbit(number))) return c10::Scalar(static_cast<int64_t>(number));
  return c10::Scalar(number);
}

c10::Scalar toScalar(napi_env env, napi_value value) {
  switch (typeOf(env, value)) {
    case napi_number:
      return toScalar(toDouble(env, value, "a number"));
    case napi_boolean:
      return c10::Scalar(toBool(env, value, "a boolean"));
    case napi_bigint:
      return c10::Scalar(toInteger(env, value, "an integer"));
    default:
      throw UsageError("expected a number, a boolean or a bigint");
  }
}

Kind kindOf(const c10::Type& type);

Kind listKindOf(const c10::Type& element) {
  if (element.kind() == c10::TypeKind::OptionalType) {
    const auto inner = element.expectRef<c10::OptionalType>().getElementType();
    return inner->kind() == c10::TypeKind::TensorType ? Kind::OptionalTensorList : Kind::Unsupported;
  }
  switch (kindOf(element)) {
    case Kind::Tensor: return Kind::TensorList;
    case Kind::Scalar: return Kind::ScalarList;
    case Kind::Int: return Kind::IntList;
    case Kind::Float: return Kind::FloatList;
    case Kind::Bool: return Kind::BoolList;
    default: return Kind::Unsupported;
  }
}

Kind kindOf(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType: return Kind::Tensor;
    case c10::TypeKind::NumberType: return Kind::Scalar;
    case c10::TypeKind::IntType: return Kind::Int;
    case c10::TypeKind::SymIntType: return Kind::Int;
    case c10::TypeKind::FloatType: return Kind::Float;
    case c10::TypeKind::BoolType: return Kind::Bool;
    case c10::TypeKind::StringType: return Kind::String;
    case c10::TypeKind::DeviceObjType: return Kind::Device;
    case c10::TypeKind::GeneratorType: return Kind::Generator;
    case c10::TypeKind::ListType: return listKindOf(*type.expectRef<c10::ListType>().getElementType());
    default: return Kind::Unsupported;
  }
}

}  // namespace

Handle toHandle(napi_env env, napi_value value) {
  int64_t handle = 0;
  check(env, napi_get_value_int64(env, value, &handle), "expected a tensor");
  return handle;
}

double toDouble(napi_env env, napi_value value, const char* what) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) throw UsageError(std::string("expected ") + what);
  return number;
}

int64_t toInteger(napi_env env, napi_value value, const char* what) {
  if (typeOf(env, value) == napi_bigint) {
    int64_t integer = 0;
    bool lossless = false;
    check(env, napi_get_value_bigint_int64(env, value, &integer, &lossless), what);
    if (!lossless) throw UsageError(std::string("expected ") + what + " that fits 64 bits");
    return integer;
  }
  return wholeNumber(toDouble(env, value, what), what);
}

bool toBool(napi_env env, napi_value value, const char* what) {
  bool result = false;
  if (napi_get_value_bool(env, value, &result) != napi_ok) throw UsageError(std::string("expected ") + what);
  return result;
}

std::string toString(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) throw UsageError("expected a string");
  std::string text(length, '\0');
  check(env, napi_get_value_string_utf8(env, value, text.data(), length + 1, &length), "expected a string");
  return text;
}

std::vector<int64_t> toIntegers(napi_env env, napi_value value, const char* what) {
  std::vector<int64_t> integers;
  forEachElement(env, value, what, [&](napi_value element) { integers.push_back(toInteger(env, element, "an integer")); });
  return integers;
}

std::vector<at::Tensor> toTensors(napi_env env, napi_value value) {
  std::vector<at::Tensor> tensors;
  forEachElement(env, value, "expected an array of tensors",
                 [&](napi_value element) { tensors.push_back(tensorAt(toHandle(env, element))); });
  return tensors;
}

Parameter describe(const c10::Argument& argument) {
  Parameter parameter;
  parameter.name = argument.name();
  parameter.type = argument.type()->repr_str();
  parameter.fallback = argument.default_value();
  parameter.broadcastLength = argument.N().value_or(0);
  c10::TypePtr type = argument.type();
  if (type->kind() == c10::TypeKind::OptionalType) {
    parameter.optional = true;
    type = type->expectRef<c10::OptionalType>().getElementType();
  }
  parameter.kind = kindOf(*type);
  return parameter;
}

// What a number can represent: a tensor or generator by its handle, a number, or a list of one number repeated.
c10::IValue toIValue(double number, const Parameter& parameter) {
  switch (parameter.kind) {
    case Kind::Tensor:
      return tensorAt(wholeNumber(number, "a tensor"));
    case Kind::Scalar:
      return toScalar(number);
    case Kind::Int:
      return wholeNumber(number, "an integer");
    case Kind::Float:
      return number;
    case Kind::Generator:
      return generatorAt(wholeNumber(number, "a generator"));
    case Kind::IntList:
      if (parameter.broadcastLength == 0) throw UsageError("expected an array of integers");
      return c10::List<int64_t>(std::vector<int64_t>(parameter.broadcastLength, wholeNumber(number, "an integer")));
    case Kind::Unsupported:
      throw UsageError("arguments of type " + parameter.type + " cannot be passed from JavaScript");
    default:
      throw UsageError("expected " + parameter.type + ", found a number");
  }
}

c10::IValue toIValue(napi_env env, napi_value value, const Parameter& parameter) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) return toIValue(number, parameter);
  if (isNothing(env, value)) {
    if (typeOf(env, value) == napi_undefined && parameter.fallback) return *parameter.fallback;
    if (parameter.optional) return c10::IValue();
    throw UsageError("it is missing");
  }
  switch (parameter.kind) {
    case Kind::Tensor:
      throw UsageError("expected a tensor");
    case Kind::TensorList:
      return c10::List<at::Tensor>(toTensors(env, value));
    case Kind::OptionalTensorList: {
      c10::List<c10::optional<at::Tensor>> list;
      forEachElement(env, value, "expected an array of tensors and nulls", [&](napi_value element) {
        list.push_back(isNothing(env, element) ? c10::optional<at::Tensor>() : tensorAt(toHandle(env, element)));
      });
      return list;
    }
    case Kind::Scalar:
      return toScalar(env, value);
    case Kind::ScalarList: {
      // A List<Scalar> has no static element type in C++; it is a generic list of numbers.
      c10::impl::GenericList list(c10::NumberType::get());
      forEachElement(env, value, "expected an array of numbers", [&](napi_value element) { list.push_back(toScalar(env, element)); });
      return list;
    }
    case Kind::Int:
      return toInteger(env, value, "an integer");
    case Kind::IntList: {
      c10::List<int64_t> list;
      forEachElement(env, value, "expected an array of integers", [&](napi_value element) { list.push_back(toInteger(env, element, "an integer")); });
      return list;
    }
    case Kind::Float:
      return toDouble(env, value, "a number");
    case Kind::FloatList: {
      c10::List<double> list;
      forEachElement(env, value, "expected an array of numbers", [&](napi_value element) { list.push_back(toDouble(env, element, "a number")); });
      return list;
    }
    case Kind::Bool:
      return toBool(env, value, "a boolean");
    case Kind::BoolList: {
      c10::List<bool> list;
      forEachElement(env, value, "expected an array of booleans", [&](napi_value element) { list.push_back(toBool(env, element, "a boolean")); });
      return list;
    }
    case Kind::String:
      return toString(env, value);
    case Kind::Device:
      return c10::Device(toString(env, value));
    case Kind::Generator:
      throw UsageError("expected a generator");
    case Kind::Unsupported:
      break;
  }
  throw UsageError("arguments of type " + parameter.type + " cannot be passed from JavaScript");
}

napi_value undefinedValue(napi_env env) {
  napi_value result;
  check(env, napi_get_undefined(env, &result), "undefined");
  return result;
}

napi_value fromDouble(napi_env env, double value) {
  napi_value result;
  check(env, napi_create_double(env, value, &result), "a number");
  return result;
}

napi_value fromInteger(napi_env env, int64_t value) {
  napi_value result;
  check(env, napi_create_int64(env, value, &result), "an integer");
  return result;
}

napi_value fromBool(napi_env env, bool value) {
  napi_value result;
  check(env, napi_get_boolean(env, value, &result), "a boolean");
  return result;
}

napi_value fromString(napi_env env, const std::string& value) {
  napi_value result;
  check(env, napi_create_string_utf8(env, value.data(), value.size(), &result), "a string");
  return result;
}

namespace {

template <class Element>
napi_value fromCount(napi_env env, size_t count, Element&& element) {
  napi_value array;
  check(env, napi_create_array_with_length(env, count, &array), "an array");
  for (size_t i = 0; i < count; ++i) check(env, napi_set_element(env, array, static_cast<uint32_t>(i), element(i)), "an element");
  return array;
}

napi_value nullValue(napi_env env) {
  napi_value result;
  check(env, napi_get_null(env, &result), "null");
  return result;
}

}  // namespace

napi_value fromIntegers(napi_env env, at::IntArrayRef values) {
  return fromCount(env, values.size(), [&](size_t i) { return fromInteger(env, values[i]); });
}

napi_value fromTensor(napi_env env, at::Tensor tensor) {
  if (!tensor.defined()) return nullValue(env);
  const Handle handle = insertTensor(std::move(tensor));
  napi_value result;
  // Doubles hold every handle exactly, and V8 creates them faster than it checks the range of a 64-bit integer.
  check(env, napi_create_double(env, static_cast<double>(handle), &result), "a handle");
  return result;
}

napi_value fromIValue(napi_env env, const c10::IValue& value) {
  if (value.isTensor()) return fromTensor(env, value.toTensor());
  if (value.isNone()) return nullValue(env);
  if (value.isDouble()) return fromDouble(env, value.toDouble());
  if (value.isBool()) return fromBool(env, value.toBool());
  if (value.isInt()) return fromInteger(env, value.toInt());
  if (value.isString()) return fromString(env, value.toStringRef());
  if (value.isDevice()) return fromString(env, value.toDevice().str());
  if (value.isTensorList()) {
    const auto list = value.toTensorVector();
    return fromCount(env, list.size(), [&](size_t i) { return fromTensor(env, list[i]); });
  }
  if (value.isList()) {
    const auto list = value.toListRef();
    return fromCount(env, list.size(), [&](size_t i) { return fromIValue(env, list[i]); });
  }
  throw UsageError("results of type " + value.tagKind() + " cannot be passed to JavaScript");
}

namespace {

void describeTensor(std::ostream& out, double number) {
  const auto handle = isWhole(number) ? static_cast<Handle>(number) : -1;
  if (!isLive(handle)) {
    out << "disposed";
    return;
  }
  const at::Tensor& tensor = tensorAt(handle);
  out << c10::toString(tensor.scalar_type()) << tensor.sizes();
}

}  // namespace

std::string describeArguments(const std::vector<Parameter>& parameters, const double* numbers, size_t count) {
  std::ostringstream out;
  const char* separator = "";
  for (size_t i = 0; i < parameters.size() && i < count; ++i) {
    if (parameters[i].kind != Kind::Tensor) continue;
    out << separator << parameters[i].name << " ";
    separator = ", ";
    describeTensor(out, numbers[i]);
  }
  return out.str();
}

std::string describeArguments(napi_env env, const std::vector<Parameter>& parameters, const napi_value* values, size_t count) {
  const auto describe = [&](std::ostream& out, napi_value value) {
    double handle = -1;
    napi_get_value_double(env, value, &handle);
    describeTensor(out, handle);
  };
  std::ostringstream out;
  try {
    const char* separator = "";
    for (size_t i = 0; i < parameters.size() && i < count; ++i) {
      const Kind kind = parameters[i].kind;
      if (kind != Kind::Tensor && kind != Kind::TensorList && kind != Kind::OptionalTensorList) continue;
      if (isNothing(env, values[i])) continue;
      out << separator << parameters[i].name << " ";
      separator = ", ";
      if (kind == Kind::Tensor) {
        describe(out, values[i]);
        continue;
      }
      out << "{";
      const char* inner = "";
      forEachElement(env, values[i], "a list", [&](napi_value element) {
        out << inner;
        inner = ", ";
        describe(out, element);
      });
      out << "}";
    }
  } catch (...) {
    // A failure while describing an error must not replace that error.
  }
  return out.str();
}

}  // namespace addon
