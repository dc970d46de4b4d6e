# GPU=cuda|sim|off|auto: how GPU code is built, which is a shared object of its own that the program
# loads when a GPU is asked for (kernels/plugin.h). Sets JMT_GPU to cuda, sim or off, JMT_PLUGIN_ABI, the
# library jmt_gpu (what GPU code links: NVIDIA's libraries, or the simulator in their place), and
# jmt_cuda_sources(). auto: cuda where NVIDIA's toolkit is whole, else off.
if(NOT GPU MATCHES "^(auto|cuda|sim|off)$")
  message(FATAL_ERROR "-DGPU=${GPU} is none of auto, cuda, sim, off; choose one of them")
endif()
set(CUDA_HOME "$ENV{CUDA_HOME}" CACHE PATH "NVIDIA's toolkit; GPU=sim needs its headers only")

# find_toolkit(HOME): gpu_headers and gpu_libraries, there and among the system's, and what is gpu_missing of them.
macro(find_toolkit home)
  set(cuda_home ${home})
  set(gpu_missing "")
  set(gpu_headers "")
  set(gpu_libraries "")
  foreach(header cuda_runtime_api.h cuda_bf16.h cublasLt.h cudnn.h nccl.h)
    unset(GPU_${header} CACHE) # of another toolkit
    find_path(GPU_${header} ${header} PATHS ${cuda_home}/include /usr/include
              /usr/include/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
    mark_as_advanced(GPU_${header})
    if(GPU_${header})
      list(APPEND gpu_headers "${GPU_${header}}")
    else()
      list(APPEND gpu_missing "header ${header}")
    endif()
  endforeach()
  if(GPU MATCHES "^(auto|cuda)$")
    foreach(library cudart cublasLt cudnn nccl)
      unset(GPU_lib${library} CACHE)
      find_library(GPU_lib${library} ${library} PATHS ${cuda_home}/lib64 ${cuda_home}/lib
                   /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
      mark_as_advanced(GPU_lib${library})
      list(APPEND gpu_libraries "${GPU_lib${library}}")
      if(NOT GPU_lib${library})
        list(APPEND gpu_missing "library ${library}")
      endif()
    endforeach()
    if(NOT EXISTS ${cuda_home}/bin/nvcc)
      list(APPEND gpu_missing "compiler nvcc")
    endif()
  endif()
endmacro()

# The rule of launch/setup --gpu, which fetches what the machine has not.
set(GPU_FETCHED ${CMAKE_SOURCE_DIR}/.cache/cuda CACHE INTERNAL "")
if(CUDA_HOME)
  find_toolkit(${CUDA_HOME})
else()
  find_toolkit(/usr/local/cuda)
endif()
if(gpu_missing AND EXISTS ${GPU_FETCHED}/include)
  find_toolkit(${GPU_FETCHED})
endif()
set(JMT_GPU ${GPU})
if(GPU STREQUAL "auto")
  set(JMT_GPU cuda)
  if(gpu_missing)
    set(JMT_GPU off)
    list(JOIN gpu_missing ", " missing)
    message(STATUS "No GPU code: not in ${cuda_home}: ${missing} (launch/setup --gpu)")
  endif()
elseif(NOT GPU STREQUAL "off" AND gpu_missing)
  list(GET gpu_missing 0 missing)
  message(FATAL_ERROR "GPU=${GPU} needs NVIDIA's ${missing}, which is not in ${cuda_home}; run launch/setup --gpu, "
                      "set CUDA_HOME to the toolkit, or build with -DGPU=off")
endif()

# Both sides also share the layout of sums and rows that kernels/ref has.
jmt_abi(JMT_PLUGIN_ABI "${CMAKE_C_COMPILER_ID} ${MPI_C_LIBRARIES}" kernels kernels/base kernels/ref comm)

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

if(JMT_GPU STREQUAL "off") # else the program finds what an earlier configuration left, and refuses it
  file(REMOVE ${CMAKE_BINARY_DIR}/jmt_cuda.so)
else()
  list(REMOVE_DUPLICATES gpu_headers)
  list(REMOVE_ITEM gpu_headers /usr/include /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
  add_library(jmt_gpu INTERFACE)
  target_include_directories(jmt_gpu SYSTEM INTERFACE ${gpu_headers})
endif()

if(JMT_GPU STREQUAL "cuda")
  set(CMAKE_CUDA_COMPILER ${cuda_home}/bin/nvcc CACHE FILEPATH "")
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
    if(known MATCHES "sm_100\n")
      set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;100") # 100: also as PTX, for what comes after
    else() # before CUDA 12.8
      set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual")
    endif()
  endif()
  set(JMT_GPU_LANGUAGE CUDA)
  enable_language(CUDA)
  if(WERROR)
    add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
  endif()
  target_link_libraries(jmt_gpu INTERFACE ${gpu_libraries} m)
elseif(JMT_GPU STREQUAL "sim")
  set(JMT_GPU_LANGUAGE CXX)
  enable_language(CXX)
  include(CheckCXXCompilerFlag)
  check_cxx_compiler_flag(-ftrivial-auto-var-init=pattern JMT_GARBAGE_LOCALS)
  if(SIM_CHECK) # a program that loads what AddressSanitizer watches begins with its library
    add_link_options(-fsanitize=address,undefined)
  endif()
  add_subdirectory(tests/simgpu)
  target_link_libraries(jmt_gpu INTERFACE simgpu m)
endif()

# jmt_loads_plugin(TARGET): a program, or a library of programs, that may ask for a GPU.
function(jmt_loads_plugin target)
  if(NOT JMT_GPU STREQUAL "off")
    add_dependencies(${target} jmt_cuda jmt_cuda_taken)
  endif()
endfunction()
