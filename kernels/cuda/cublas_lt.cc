#include "kernels/cuda/cublas_lt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <map>

namespace reform {
namespace {

// The functions that we call, looked up by name. The header gives us types only. Versions 12 and 13 agree on all of
// them.
struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;
};

template <class Function>
bool find(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

bool find_all(void* library, Functions& f) {
  return find(library, "cublasLtCreate", f.create) && find(library, "cublasLtDestroy", f.destroy) &&
         find(library, "cublasLtMatmulDescCreate", f.desc_create) &&
         find(library, "cublasLtMatmulDescDestroy", f.desc_destroy) &&
         find(library, "cublasLtMatmulDescSetAttribute", f.desc_set) &&
         find(library, "cublasLtMatrixLayoutCreate", f.layout_create) &&
         find(library, "cublasLtMatrixLayoutDestroy", f.layout_destroy) &&
         find(library, "cublasLtMatmulPreferenceCreate", f.preference_create) &&
         find(library, "cublasLtMatmulPreferenceDestroy", f.preference_destroy) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", f.preference_set) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", f.heuristic) && find(library, "cublasLtMatmul", f.matmul);
}

// The library is never closed: a CUDA library has work to do when the program ends.
void* open_library(const std::string& path) {
  if (!path.empty()) return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

// The largest power of two, at most 256, that divides the address: the alignment that cuBLASLt may rely on.
uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p) | 256;
  return uint32_t(address & (~address + 1));
}

// A product of either kind, for plans and calls: of 16-bit values, or of e4m3 codes with their steps.
struct Product {
  cudaDataType_t type = CUDA_R_16F;
  const void *x = nullptr, *w = nullptr;
  float* y = nullptr;
  const float *bias = nullptr, *x_step = nullptr, *w_step = nullptr;
  int64_t n_tokens = 0, n_rows = 0, depth = 0;
  int64_t x_stride = 0, w_stride = 0, y_stride = 0;
  bool accumulate = false;
};

// The fields that both kinds of call have.
template <class Call>
Product product_of(const Call& c, cudaDataType_t type) {
  return {.type = type,
          .x = c.x,
          .w = c.w,
          .y = c.y,
          .n_tokens = c.n_tokens,
          .n_rows = c.n_rows,
          .depth = c.depth,
          .x_stride = c.x_stride,
          .w_stride = c.w_stride,
          .y_stride = c.y_stride,
          .accumulate = c.accumulate};
}

// What a plan depends on: the type, n_tokens, n_rows, depth, the three strides, four alignments, and whether it
// accumulates.
using Shape = std::array<int64_t, 12>;

Shape shape_of(const Product& p) {
  return {int64_t(p.type),
          p.n_tokens,
          p.n_rows,
          p.depth,
          p.x_stride,
          p.w_stride,
          p.y_stride,
          alignment_of(p.x),
          alignment_of(p.w),
          alignment_of(p.y),
          p.bias == nullptr ? 0 : alignment_of(p.bias),
          int64_t(p.accumulate)};
}

}  // namespace

namespace cuda {
namespace {

// Row-major y [n_tokens, n_rows] is cuBLAS's column-major [n_rows, n_tokens], so w is its A, transposed, and x its B.
class CublasLt final : public ProductLibrary {
 public:
  CublasLt(const Functions& functions, cublasLtHandle_t handle) : f_(functions), handle_(handle) {}
  ~CublasLt() override {
    forget_plans();
    f_.destroy(handle_);
  }
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  const char* name() const override { return "cuBLASLt"; }

  bool multiply(const ProductCall& call, void* stream, std::span<std::byte> workspace) override {
    Product product = product_of(call, call.element == Element::kF16 ? CUDA_R_16F : CUDA_R_16BF);
    product.bias = call.bias;
    return run(product, stream, workspace);
  }
  bool multiply_codes(const CodeProductCall& call, void* stream, std::span<std::byte> workspace) override {
    Product product = product_of(call, CUDA_R_8F_E4M3);
    product.x_step = call.x_step, product.w_step = call.w_step;
    return run(product, stream, workspace);
  }

 private:
  static constexpr cublasStatus_t kDone = CUBLAS_STATUS_SUCCESS;
  // Shapes differ by kind of layer and by the number of rows at a text's end. When there are more plans than this, all
  // are dropped.
  static constexpr size_t kMaxPlans = 1024;

  struct Plan {
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
    cublasLtMatmulAlgo_t algo{};
    bool works = false;
  };

  bool run(const Product& p, void* stream, std::span<std::byte> workspace) {
    if (plans_.size() >= kMaxPlans) forget_plans();
    const auto [at, is_new] = plans_.try_emplace(shape_of(p));
    Plan& plan = at->second;
    if (is_new) plan.works = make(p, workspace.size(), plan);
    if (!plan.works) return false;
    const float one = 1, beta = p.accumulate ? 1 : 0;
    plan.works = set_pointers(p, plan) &&
                 f_.matmul(handle_, plan.desc, &one, p.w, plan.w, p.x, plan.x, &beta, p.y, plan.y, p.y, plan.y,
                           &plan.algo, workspace.data(), workspace.size(), static_cast<cudaStream_t>(stream)) == kDone;
    return plan.works;
  }

  template <class T>
  bool set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    return f_.desc_set(desc, attribute, &value, sizeof value) == kDone;
  }

  // w is the library's A and x its B. For codes, "fast accumulation" is off, as it keeps fewer bits of the sums.
  bool make(const Product& p, size_t workspace_bytes, Plan& plan) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t add_bias = CUBLASLT_EPILOGUE_BIAS;
    return f_.desc_create(&plan.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == kDone &&
           set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, transposed) &&
           (p.bias == nullptr || set(plan.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, add_bias)) && set_pointers(p, plan) &&
           layout(plan.w, p.type, p.depth, p.n_rows, p.w_stride) &&
           layout(plan.x, p.type, p.depth, p.n_tokens, p.x_stride) &&
           layout(plan.y, CUDA_R_32F, p.n_rows, p.n_tokens, p.y_stride) && choose(p, workspace_bytes, plan);
  }
  bool set_pointers(const Product& p, const Plan& plan) {
    return (p.bias == nullptr || set(plan.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias)) &&
           (p.w_step == nullptr || set(plan.desc, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.w_step)) &&
           (p.x_step == nullptr || set(plan.desc, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.x_step));
  }
  bool layout(cublasLtMatrixLayout_t& to, cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
    return f_.layout_create(&to, type, uint64_t(rows), uint64_t(cols), stride) == kDone;
  }

  bool choose(const Product& c, size_t workspace_bytes, Plan& plan) {
    cublasLtMatmulPreference_t preference = nullptr;
    if (f_.preference_create(&preference) != kDone) return false;
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      return f_.preference_set(preference, attribute, &value, sizeof value) == kDone;
    };
    cublasLtMatmulHeuristicResult_t best;
    int n_found = 0;
    const bool found =
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes) &&
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(c.w)) &&
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(c.x)) &&
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(c.y)) &&
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(c.y)) &&
        f_.heuristic(handle_, plan.desc, plan.w, plan.x, plan.y, plan.y, preference, 1, &best, &n_found) == kDone &&
        n_found > 0 && best.state == kDone;
    f_.preference_destroy(preference);
    if (found) plan.algo = best.algo;
    return found;
  }

  void forget_plans() {
    for (auto& [shape, plan] : plans_) {
      if (plan.desc != nullptr) f_.desc_destroy(plan.desc);
      for (cublasLtMatrixLayout_t layout : {plan.w, plan.x, plan.y}) {
        if (layout != nullptr) f_.layout_destroy(layout);
      }
    }
    plans_.clear();
  }

  const Functions f_;
  const cublasLtHandle_t handle_;
  std::map<Shape, Plan> plans_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<cuda::ProductLibrary> load_cublas_lt(const std::string& path) {
  void* library = open_library(path);
  Functions functions{};
  cublasLtHandle_t handle = nullptr;
  if (library == nullptr || !find_all(library, functions)) return nullptr;
  if (functions.create(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  return std::make_unique<cuda::CublasLt>(functions, handle);
}

}  // namespace reform
