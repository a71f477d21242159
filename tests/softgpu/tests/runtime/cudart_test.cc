// libcudart.so.13 as a program calls it: memory, streams and events, launches, errors, and what it says of
// its device.

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/runtime/kernels.h"

namespace softgpu {
namespace {

constexpr size_t kCount = 64, kBytes = kCount * sizeof(float);

float* device_floats(float value) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, kBytes), cudaSuccess);
  const std::vector<float> values(kCount, value);
  EXPECT_EQ(cudaMemcpy(memory, values.data(), kBytes, cudaMemcpyHostToDevice), cudaSuccess);
  return static_cast<float*>(memory);
}

cudaError_t launch(const void* kernel, float* data, dim3 block = dim3(kCount), size_t shared = 0,
                   cudaStream_t stream = nullptr) {
  void* arguments[] = {&data};
  return cudaLaunchKernel(kernel, dim3(1), block, arguments, shared, stream);
}

float first_of(const float* device) {
  float value = 0;
  EXPECT_EQ(cudaMemcpy(&value, device, sizeof value, cudaMemcpyDeviceToHost), cudaSuccess);
  return value;
}

TEST(RuntimeDevice, IsAModestCardOfCapability80) {
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  cudaDeviceProp card{};
  ASSERT_EQ(cudaGetDeviceProperties(&card, 0), cudaSuccess);
  EXPECT_EQ(card.major * 10 + card.minor, 80);
  EXPECT_EQ(card.multiProcessorCount, 108);
  EXPECT_EQ(card.sharedMemPerMultiprocessor, 164U << 10);
  EXPECT_EQ(card.sharedMemPerBlockOptin, 163U << 10);
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(value, 163 << 10);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(RuntimeDeviceDeathTest, MayBeMissing) {
  GTEST_FLAG_SET(death_test_style,
                 "threadsafe");  // a process of its own, that has not looked for the device yet
  EXPECT_EXIT(
      {
        setenv("SOFTGPU_DEVICES", "0", 1);
        int count = 7;
        void* memory = nullptr;
        const bool none = cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0 &&
                          cudaMalloc(&memory, 4) == cudaErrorNoDevice;
        std::exit(none ? 3 : 4);
      },
      testing::ExitedWithCode(3), "");
}

TEST(RuntimeMemory, IsLimitedAndComesBack) {
  size_t before = 0, total = 0, after = 0;
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 1 << 20), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(before - after, 1U << 20);
  EXPECT_EQ(cudaMalloc(&memory, total), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory, nullptr);
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()), "out of memory");
}

TEST(RuntimeMemory, CopiesMayNotLeaveTheirBuffers) {
  float* const data = device_floats(1);
  std::vector<float> host(2 * kCount);
  testing::internal::CaptureStderr();
  EXPECT_EQ(cudaMemcpy(host.data(), data, kBytes + 1, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("257 bytes of the source"));
  EXPECT_EQ(cudaMemset(data + kCount, 0, 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(data, host.data(), kBytes, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(data + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  EXPECT_EQ(cudaFree(data), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  cudaGetLastError();
}

TEST(RuntimeMemory, ConstantsHaveAnAddress) {
  const float values[] = {1, 2, 3, 4};
  ASSERT_EQ(cudaMemcpyToSymbol(constant_variable(), values, sizeof values, 0, cudaMemcpyHostToDevice),
            cudaSuccess);
  float* const out = device_floats(0);
  ASSERT_EQ(launch(kernel_that_copies_constants(), out, dim3(4)), cudaSuccess);
  std::vector<float> got(4);
  ASSERT_EQ(cudaMemcpy(got.data(), out, 16, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(got, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(cudaMemcpyToSymbol(constant_variable(), values, sizeof values, 4, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
  cudaGetLastError();
  cudaFree(out);
}

TEST(RuntimeStreams, RunWhenSomebodyWaits) {
  float* const data = device_floats(1);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(launch(kernel_that_adds_one(), data, dim3(kCount), 0, stream), cudaSuccess);
  EXPECT_EQ(first_of(data), 1);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  while (cudaStreamQuery(stream) == cudaErrorNotReady) {
  }
  EXPECT_EQ(first_of(data), 2);
  // What a blocking stream has, the default stream waits for.
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  ASSERT_EQ(launch(kernel_that_adds_one(), data, dim3(kCount), 0, blocking), cudaSuccess);
  EXPECT_EQ(first_of(data), 3);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
  cudaGetLastError();
  cudaFree(data);
}

TEST(RuntimeStreams, EventsOrderThem) {
  float* const data = device_floats(1);
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t before = nullptr, after = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&before), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&after), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(before), cudaSuccess) << "not recorded yet";
  ASSERT_EQ(cudaEventRecord(before, first), cudaSuccess);
  ASSERT_EQ(launch(kernel_that_adds_one(), data, dim3(kCount), 0, first), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(after, first), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second, after, 0), cudaSuccess);
  float* const host = [] {
    void* memory = nullptr;
    EXPECT_EQ(cudaMallocHost(&memory, kBytes), cudaSuccess);
    return static_cast<float*>(memory);
  }();
  ASSERT_EQ(cudaMemcpyAsync(host, data, kBytes, cudaMemcpyDeviceToHost, second), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, before, after), cudaErrorNotReady);
  EXPECT_NE(host[0], host[0]) << "what is still to be copied is NaN";
  ASSERT_EQ(cudaStreamSynchronize(second), cudaSuccess);
  EXPECT_EQ(host[kCount - 1], 2);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, before, after), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  cudaGetLastError();
  cudaFreeHost(host);
  cudaFree(data);
}

TEST(RuntimeStreams, CaptureIsRefusedByName) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorNotSupported);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("cudaStreamBeginCapture"));
  EXPECT_EQ(cudaGetLastError(), cudaErrorNotSupported);
}

TEST(RuntimeLaunch, ShapesThatNoCardHas) {
  float* const data = device_floats(1);
  testing::internal::CaptureStderr();
  EXPECT_EQ(launch(kernel_that_adds_one(), data, dim3(1025)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(kernel_that_adds_one(), data, dim3(0)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(data, data), cudaErrorInvalidDeviceFunction);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("add_one"));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDeviceFunction);
  cudaFree(data);
}

TEST(RuntimeLaunch, MuchSharedMemoryWantsToBeAskedFor) {
  float* const data = device_floats(1);
  const void* const kernel = kernel_with_dynamic_shared();
  constexpr int kMost = (163 << 10) - 1024;
  EXPECT_EQ(launch(kernel, data, dim3(kCount), (48 << 10) - 1024), cudaSuccess);
  EXPECT_EQ(launch(kernel, data, dim3(kCount), 48 << 10), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost), cudaSuccess);
  EXPECT_EQ(launch(kernel, data, dim3(kCount), kMost), cudaSuccess);
  cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, kernel), cudaSuccess);
  EXPECT_EQ(attributes.sharedSizeBytes, 1024U);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, kMost);
  EXPECT_GT(attributes.numRegs, 0);
  EXPECT_EQ(first_of(data), 9);
  // By shared memory: 164 KiB hold one block of 163 KiB, and three of 48 with what each has reserved.
  int blocks = 0;
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 64, kMost), cudaSuccess);
  EXPECT_EQ(blocks, 1);
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 64, 47 << 10), cudaSuccess);
  EXPECT_EQ(blocks, 3);
  // By threads.
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel_that_adds_one(), 1024, 0),
            cudaSuccess);
  EXPECT_EQ(blocks, 2);
  cudaGetLastError();
  cudaFree(data);
}

// As on a card: the fault shows at the next synchronisation, and from then on everywhere.
TEST(RuntimeFaultDeathTest, StaysIfItIsNotToAbort) {
  EXPECT_EXIT(
      {
        setenv("SOFTGPU_FAULT", "error", 1);
        float* const data = device_floats(1);
        const bool launched = launch(kernel_that_adds_one(), data + 1) == cudaSuccess;
        const bool shown = cudaDeviceSynchronize() == cudaErrorIllegalAddress;
        const bool stays = cudaGetLastError() == cudaErrorIllegalAddress &&
                           cudaGetLastError() == cudaErrorIllegalAddress &&
                           cudaFree(data) == cudaErrorIllegalAddress;
        std::exit(launched && shown && stays ? 3 : 4);
      },
      testing::ExitedWithCode(3), "softgpu: fault: out of bounds: .*kernels.cu:9");
}

}  // namespace
}  // namespace softgpu
