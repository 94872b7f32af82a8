// Every native entry runs inside guarded(): any C++ exception becomes a JavaScript exception, and nothing else escapes.
#pragma once

#include <node_api.h>

#include <c10/util/Exception.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace addon {

// A JavaScript exception is already pending; unwind to the entry and return to JavaScript.
struct PendingException {};

// A mistake of the caller, found before libtorch was called.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws the TorchError class that JavaScript passed in at start-up (see initialize in addon.cc).
void throwTorchError(napi_env env, const std::string& message);

inline void check(napi_env env, napi_status status, const char* expectation) {
  if (status == napi_ok) return;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) throw PendingException{};
  throw UsageError(expectation);
}

template <class Body>
napi_value guarded(napi_env env, Body&& body) {
  try {
    return body();
  } catch (const PendingException&) {
  } catch (const c10::Error& error) {
    throwTorchError(env, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    throwTorchError(env, "out of memory");
  } catch (const std::exception& error) {
    throwTorchError(env, error.what());
  } catch (...) {
    throwTorchError(env, "an exception of unknown type was thrown in native code");
  }
  return nullptr;
}

}  // namespace addon
