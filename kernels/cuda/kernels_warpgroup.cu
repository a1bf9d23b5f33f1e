#define REFORM_DEFINES_WARPGROUP_KERNELS
#include "kernels/cuda/attention_warpgroup.cuh"
#include "kernels/cuda/column_sums_warpgroup.cuh"

namespace reform::cuda {
inline namespace REFORM_CUDA_SIDE {

template void launch_attention(Stream, WarpgroupTiles<64>, Dim, const AttentionShape&, const AttentionOut&);
template void launch_attention(Stream, WarpgroupTiles<128>, Dim, const AttentionShape&, const AttentionOut&);
template void launch_attention(Stream, WarpgroupTiles<256>, Dim, const AttentionShape&, const AttentionOut&);

template void launch_column_sums(Stream, WarpgroupColumnTiles<64>, Dim, const AttentionShape&, const Observers&, bool,
                                 float*);
template void launch_column_sums(Stream, WarpgroupColumnTiles<128>, Dim, const AttentionShape&, const Observers&, bool,
                                 float*);
template void launch_column_sums(Stream, WarpgroupColumnTiles<256>, Dim, const AttentionShape&, const Observers&, bool,
                                 float*);

}  // namespace REFORM_CUDA_SIDE
}  // namespace reform::cuda
