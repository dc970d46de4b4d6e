# GPU=cuda|sim|off|auto: how GPU code is built. Sets JMT_GPU to cuda, sim or off, the library jmt_gpu
# (what GPU code links: NVIDIA's libraries, or the simulator in their place), and jmt_cuda_sources().
# auto is off: as long as GPU code is part of the program and not a plug-in, every start of a program
# with it would load NVIDIA's libraries.
if(NOT GPU MATCHES "^(auto|cuda|sim|off)$")
  message(FATAL_ERROR "-DGPU=${GPU} is none of auto, cuda, sim, off; choose one of them")
endif()
set(JMT_GPU ${GPU})
if(GPU STREQUAL "auto")
  set(JMT_GPU off)
endif()

# jmt_cuda_sources(FILES...): says how the .cu files of this directory are compiled. Under sim they are
# C++ whose accesses call the simulator.
function(jmt_cuda_sources)
  if(JMT_GPU STREQUAL "sim")
    set(options -x c++ -std=c++17 -Wall -Wextra -Wno-unknown-pragmas -ffp-contract=off)
    if(SIM_CHECK)
      list(APPEND options -fsanitize=thread,undefined -fno-sanitize-recover=undefined)
      if(JMT_GARBAGE_LOCALS) # a local variable without a value is not 0 by chance
        list(APPEND options -ftrivial-auto-var-init=pattern)
      endif()
    endif()
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${options}")
  endif()
endfunction()

# jmt_gpu_host_sources(FILES...): the same for host code that only a build with GPU code has.
function(jmt_gpu_host_sources)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${JMT_SIM_SANITIZE}")
endfunction()

set(JMT_SIM_SANITIZE "")
if(JMT_GPU STREQUAL "sim" AND SIM_CHECK)
  set(JMT_SIM_SANITIZE -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=all)
endif()

if(NOT JMT_GPU STREQUAL "off")
  set(CUDA_HOME "$ENV{CUDA_HOME}" CACHE PATH "NVIDIA's toolkit; GPU=sim needs its headers only")
  set(cuda_home "${CUDA_HOME}")
  if(cuda_home STREQUAL "")
    set(cuda_home /usr/local/cuda)
  endif()
  set(gpu_headers "")
  foreach(header cuda_runtime_api.h cuda_bf16.h cublasLt.h cudnn.h nccl.h)
    find_path(GPU_${header} ${header} PATHS ${cuda_home}/include /usr/include
              /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
    mark_as_advanced(GPU_${header})
    if(NOT GPU_${header})
      message(FATAL_ERROR "GPU=${JMT_GPU} needs NVIDIA's header ${header}, which is not in ${cuda_home}/include; "
                          "set CUDA_HOME to the toolkit, or build with -DGPU=off")
    endif()
    list(APPEND gpu_headers "${GPU_${header}}")
  endforeach()
  list(REMOVE_DUPLICATES gpu_headers)
  list(REMOVE_ITEM gpu_headers /usr/include /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
  add_library(jmt_gpu INTERFACE)
  target_include_directories(jmt_gpu SYSTEM INTERFACE ${gpu_headers})
endif()

if(JMT_GPU STREQUAL "cuda")
  set(CMAKE_CUDA_COMPILER ${cuda_home}/bin/nvcc CACHE FILEPATH "")
  if(NOT EXISTS ${CMAKE_CUDA_COMPILER})
    message(FATAL_ERROR "GPU=cuda needs ${CMAKE_CUDA_COMPILER}, which is not there; set CUDA_HOME to NVIDIA's toolkit")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;100") # 100: also as PTX, for what comes after
  endif()
  enable_language(CUDA)
  target_link_directories(jmt_gpu INTERFACE ${cuda_home}/lib64)
  target_link_libraries(jmt_gpu INTERFACE cudart cublasLt cudnn nccl m)
elseif(JMT_GPU STREQUAL "sim")
  enable_language(CXX)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-ftrivial-auto-var-init=pattern JMT_GARBAGE_LOCALS)
  add_subdirectory(tests/simgpu)
  target_link_libraries(jmt_gpu INTERFACE simgpu m)
endif()
