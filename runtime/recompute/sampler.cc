#include "runtime/recompute/sampler.h"

namespace reform {

Draw Sampler::next() {
  // Not std::uniform_real_distribution, whose numbers differ from library to library.
  const double uniform = double(rng_() >> 11) * 0x1p-53;
  return {options_.top_k, options_.top_p, options_.min_p, options_.temperature, uniform};
}

}  // namespace reform
