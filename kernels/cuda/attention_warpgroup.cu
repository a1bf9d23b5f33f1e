#define REFORM_DEFINES_WARPGROUP_ATTENTION
#include "kernels/cuda/attention_warpgroup.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

template void launch_attention(Stream, WarpgroupTiles<64>, Dim, const AttentionShape&, const AttentionOut&);
template void launch_attention(Stream, WarpgroupTiles<128>, Dim, const AttentionShape&, const AttentionOut&);
template void launch_attention(Stream, WarpgroupTiles<256>, Dim, const AttentionShape&, const AttentionOut&);

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
