"""Samples of what image generators write, and its containers; long, because each sample is whole."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin

from testing.pictures import picture, pixels


@dataclass(frozen=True)
class Sample:
    """Texts as a program writes them, and what is to be read."""

    name: str
    texts: Mapping[str, str]
    expected: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)


WEBUI = (
    "portrait of an old fisherman, (weathered skin:1.2), golden hour <lora:film_grain:0.6>\n"
    "sharp eyes, 85mm\n"
    "Negative prompt: blurry, lowres,\nextra fingers\n"
    "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 1894027718, "
    "Size: 832x1216, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Clip skip: 2, "
    'Lora hashes: "film_grain: 1f6d9a2b, other: 22aa", Hires prompt: "a \\"fine\\" face, wet", '
    "Version: v1.10.1"
)
NOVELAI_V4 = {
    "prompt": "two foxes, forest",
    "steps": 28,
    "height": 1216,
    "width": 832,
    "scale": 5.5,
    "seed": 2924313357,
    "noise_schedule": "karras",
    "sampler": "k_euler_ancestral",
    "v4_prompt": {
        "caption": {
            "base_caption": "two foxes, forest",
            "char_captions": [
                {"char_caption": "fox, red fur", "centers": [{"x": 0.3, "y": 0.5}]},
                {"char_caption": "fox, white fur", "centers": [{"x": 0.7, "y": 0.5}]},
            ],
        },
        "use_coords": False,
    },
    "v4_negative_prompt": {"caption": {"base_caption": "lowres, artifacts", "char_captions": []}},
    "uc": "lowres, artifacts",
    "request_type": "PromptGenerateRequest",
}
COMFY_RUN = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 1106257833005336,
            "steps": 26,
            "cfg": 8,
            "sampler_name": "uni_pc_bh2",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
    },
    "4": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "SD1.5\\dreamshaper_8.safetensors"},
    },
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 768, "height": 512, "batch_size": 1},
    },
    "6": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "a lighthouse in a storm, oil on canvas", "clip": ["10", 1]},
    },
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, watermark", "clip": ["10", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "oil.safetensors",
            "strength_model": 0.8,
            "strength_clip": 1,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
        "is_changed": [float("nan")],
    },
}
COMFY_FLUX = {
    "6": {
        "class_type": "CLIPTextEncodeFlux",
        "inputs": {
            "clip_l": "um farol na tempestade",
            "t5xxl": ["40", 0],
            "guidance": 3.5,
            "clip": ["11", 0],
        },
    },
    "40": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "um farol 🌊 à noite"}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors"}},
    "13": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {
            "noise": ["25", 0],
            "guider": ["22", 0],
            "sampler": ["16", 0],
            "sigmas": ["17", 0],
            "latent_image": ["27", 0],
        },
    },
    "16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "17": {
        "class_type": "BasicScheduler",
        "inputs": {"scheduler": "simple", "steps": 20, "denoise": 1, "model": ["12", 0]},
    },
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["6", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 18446744073709551615}},
    "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": ["41", 0], "height": 1024}},
    "41": {"class_type": "PrimitiveInt", "inputs": {"value": 1344}},
    "28": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["10", 0]}},
}
COMFY_TWO_PASSES = {
    **COMFY_RUN,
    "20": {
        "class_type": "KSamplerAdvanced",
        "inputs": {
            "noise_seed": 5,
            "steps": 10,
            "cfg": 4,
            "sampler_name": "euler",
            "scheduler": "karras",
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["21", 0],
        },
    },
    "21": {
        "class_type": "LatentUpscale",
        "inputs": {"samples": ["3", 0], "width": 1536, "height": 1024},
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["20", 0], "vae": ["4", 2]}},
}
COMFY_DRAWN = {
    "last_node_id": 12,
    "nodes": [
        {
            "id": 3,
            "type": "KSampler",
            "mode": 0,
            "inputs": [
                {"name": "model", "type": "MODEL", "link": 1},
                {"name": "positive", "type": "CONDITIONING", "link": 4},
                {"name": "negative", "type": "CONDITIONING", "link": 6},
                {"name": "latent_image", "type": "LATENT", "link": 2},
            ],
            "widgets_values": [42, "randomize", 20, 7.5, "euler", "normal", 1],
        },
        {"id": 4, "type": "CheckpointLoaderSimple", "widgets_values": ["v1-5-pruned.ckpt"]},
        {"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 640, 1]},
        {
            "id": 6,
            "type": "CLIPTextEncode",
            "inputs": [{"name": "clip", "type": "CLIP", "link": 3}],
            "widgets_values": ["una casa junto al mar"],
        },
        {
            "id": 7,
            "type": "CLIPTextEncode",
            "inputs": [
                {"name": "clip", "type": "CLIP", "link": 5},
                {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": None},
            ],
            "widgets_values": ["borroso"],
        },
        {"id": 12, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 7}]},
        {"id": 9, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 8}]},
        {"id": 8, "type": "VAEDecode", "inputs": [{"name": "samples", "link": 9}]},
    ],
    "links": [
        [1, 4, 0, 3, 0, "MODEL"],
        [2, 5, 0, 3, 3, "LATENT"],
        [3, 4, 1, 6, 0, "CLIP"],
        [4, 12, 0, 3, 1, "CONDITIONING"],
        [5, 4, 1, 7, 0, "CLIP"],
        [6, 7, 0, 3, 2, "CONDITIONING"],
        [7, 6, 0, 12, 0, "*"],
        [8, 8, 0, 9, 0, "IMAGE"],
        [9, 3, 0, 8, 0, "LATENT"],
    ],
}
DRAW_THINGS_XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <xmp:CreatorTool>Draw Things</xmp:CreatorTool>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">a paper boat
Steps: 8</rdf:li></rdf:Alt></dc:description>
   <exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">{"c":"a paper boat &amp; rain",\
"model":"sd_v1.5_f16.ckpt","sampler":"Euler A","scale":7.5,"seed":4107441291,\
"seed_mode":"Scale Alike","size":"512x768","steps":30,"strength":1,"uc":"dull"}</rdf:li></rdf:Alt>\
</exif:UserComment>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def as_json(value: object) -> str:
    """Return JSON as these programs write it: NaN and all."""
    return json.dumps(value, ensure_ascii=False)


SAMPLES = [
    Sample(
        "AUTOMATIC1111",
        {"parameters": WEBUI},
        {
            "generator": "AUTOMATIC1111",
            "prompt": "portrait of an old fisherman, (weathered skin:1.2), golden hour "
            "<lora:film_grain:0.6>\nsharp eyes, 85mm",
            "negative_prompt": "blurry, lowres,\nextra fingers",
            "seed": "1894027718",
            "steps": 28,
            "cfg_scale": 6.5,
            "sampler": "DPM++ 2M",
            "scheduler": "Karras",
            "model": "sd_xl_base_1.0",
            "model_hash": "31e35c80fc",
            "width": 832,
            "height": 1216,
        },
        {
            "Clip skip": "2",
            "Lora hashes": "film_grain: 1f6d9a2b, other: 22aa",
            "Hires prompt": 'a "fine" face, wet',
            "Version": "v1.10.1",
        },
    ),
    Sample(
        "AUTOMATIC1111 in a user comment, no negative prompt",
        {"exif:UserComment": "a red barn\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5"},
        {"generator": "AUTOMATIC1111", "prompt": "a red barn", "steps": 20, "seed": "5"},
    ),
    Sample(
        "Forge",
        {
            "parameters": "a cabin at dawn\nSteps: 20, Sampler: Euler, Schedule type: Simple, "
            "CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 77, Size: 896x1152, Model hash: "
            "c161224931, Model: flux1-dev-bnb-nf4, Version: f2.0.1v1.10.1-previous-224-g900196889, "
            'Module 1: ae, ADetailer: {"model": "face, hand", "seed": 9}'
        },
        {"generator": "Forge", "prompt": "a cabin at dawn", "seed": "77", "cfg_scale": 1.0},
        {"Distilled CFG Scale": "3.5", "ADetailer": '{"model": "face, hand", "seed": 9}'},
    ),
    Sample(
        "SD.Next",
        {
            "parameters": "gato astronauta\nNegative prompt: feo\nSteps: 25, Size: 1024x1024, "
            "Seed: 12345, Sampler: UniPC, CFG scale: 6, Model: juggernautXL, Model hash: aeb7e9e689, "
            "App: SD.Next, Version: a1b2c3d, Pipeline: StableDiffusionXLPipeline"
        },
        {
            "generator": "SD.Next",
            "prompt": "gato astronauta",
            "negative_prompt": "feo",
            "steps": 25,
        },
    ),
    Sample(
        "ComfyUI",
        {"prompt": as_json(COMFY_RUN), "workflow": as_json(COMFY_DRAWN)},
        {
            "generator": "ComfyUI",
            "prompt": "a lighthouse in a storm, oil on canvas",
            "negative_prompt": "text, watermark",
            "seed": "1106257833005336",
            "steps": 26,
            "cfg_scale": 8.0,
            "sampler": "uni_pc_bh2",
            "scheduler": "normal",
            "model": "dreamshaper_8.safetensors",
            "width": 768,
            "height": 512,
        },
        {"loras": "oil.safetensors:0.8", "denoise": 1},
    ),
    Sample(
        "ComfyUI with Flux's encoder, a guider and primitives",
        {"prompt": as_json(COMFY_FLUX)},
        {
            "generator": "ComfyUI",
            "prompt": "um farol na tempestade\num farol 🌊 à noite",
            "negative_prompt": None,
            "seed": "18446744073709551615",
            "steps": 20,
            "cfg_scale": None,
            "sampler": "euler",
            "scheduler": "simple",
            "model": "flux1-dev.safetensors",
            "width": 1344,
            "height": 1024,
        },
        {"guidance": 3.5},
    ),
    Sample(
        "ComfyUI with a second pass",
        {"prompt": as_json(COMFY_TWO_PASSES)},
        {"seed": "1106257833005336", "steps": 26, "width": 768, "sampler": "uni_pc_bh2"},
    ),
    Sample(
        "ComfyUI, only what was drawn",
        {"workflow": as_json(COMFY_DRAWN)},
        {
            "generator": "ComfyUI",
            "prompt": "una casa junto al mar",
            "negative_prompt": "borroso",
            "seed": "42",
            "steps": 20,
            "cfg_scale": 7.5,
            "sampler": "euler",
            "scheduler": "normal",
            "model": "v1-5-pruned.ckpt",
            "width": 512,
            "height": 640,
        },
    ),
    Sample(
        "ComfyUI in EXIF",
        {
            "exif:Model": "prompt:" + as_json(COMFY_RUN),
            "exif:Make": "workflow:" + as_json(COMFY_DRAWN),
        },
        {"generator": "ComfyUI", "prompt": "a lighthouse in a storm, oil on canvas", "steps": 26},
    ),
    Sample(
        "InvokeAI 3 and later",
        {
            "invokeai_metadata": as_json(
                {
                    "generation_mode": "sdxl_txt2img",
                    "positive_prompt": "digital artwork, painterly brushstrokes",
                    "negative_prompt": "grainy+, photo",
                    "width": 1024,
                    "height": 768,
                    "seed": 3293022630,
                    "cfg_scale": 8.0,
                    "steps": 35,
                    "scheduler": "euler",
                    "model": {"key": "5a", "hash": "blake3:77", "name": "juggernautXL"},
                    "loras": [],
                    "app_version": "4.2.9",
                }
            )
        },
        {
            "generator": "InvokeAI",
            "prompt": "digital artwork, painterly brushstrokes",
            "negative_prompt": "grainy+, photo",
            "seed": "3293022630",
            "steps": 35,
            "cfg_scale": 8.0,
            "scheduler": "euler",
            "model": "juggernautXL",
            "model_hash": "blake3:77",
            "width": 1024,
            "height": 768,
        },
    ),
    Sample(
        "InvokeAI 2",
        {
            "sd-metadata": as_json(
                {
                    "model": "stable diffusion",
                    "model_weights": "deliberate_v08",
                    "model_hash": "56d1442a",
                    "app_id": "invoke-ai/InvokeAI",
                    "app_version": "2.3.0",
                    "image": {
                        "prompt": [{"prompt": "a young oak [fog, snow] in spring", "weight": 1.0}],
                        "steps": 50,
                        "cfg_scale": 5,
                        "height": 768,
                        "width": 512,
                        "seed": 2980747362,
                        "sampler": "k_lms",
                    },
                }
            ),
            "Dream": '"something else" -s 1',
        },
        {
            "generator": "InvokeAI",
            "prompt": "a young oak  in spring",
            "negative_prompt": "fog, snow",
            "seed": "2980747362",
            "steps": 50,
            "sampler": "k_lms",
            "model": "deliberate_v08",
            "model_hash": "56d1442a",
            "width": 512,
        },
    ),
    Sample(
        "InvokeAI 1",
        {"Dream": '"a "quoted" oak [fog] -s" -s 50 -S 298 -W 512 -H 768 -C 5.5 -A k_lms -U 4 0.95'},
        {
            "generator": "InvokeAI",
            "prompt": 'a "quoted" oak  -s',
            "negative_prompt": "fog",
            "seed": "298",
            "steps": 50,
            "cfg_scale": 5.5,
            "sampler": "k_lms",
            "width": 512,
            "height": 768,
        },
    ),
    Sample(
        "NovelAI 4",
        {
            "Title": "NovelAI generated image",
            "Description": "two foxes, forest",
            "Software": "NovelAI",
            "Source": "NovelAI Diffusion V4 4F49EC75",
            "Generation time": "4.2",
            "Comment": as_json(NOVELAI_V4),
        },
        {
            "generator": "NovelAI",
            "prompt": "two foxes, forest | fox, red fur | fox, white fur",
            "negative_prompt": "lowres, artifacts",
            "seed": "2924313357",
            "steps": 28,
            "cfg_scale": 5.5,
            "sampler": "k_euler_ancestral",
            "scheduler": "karras",
            "model": "NovelAI Diffusion V4",
            "model_hash": "4F49EC75",
            "width": 832,
            "height": 1216,
        },
    ),
    Sample(
        "NovelAI 1",
        {
            "Title": "AI generated image",
            "Description": "masterpiece,  cat, space",
            "Software": "NovelAI",
            "Source": "Stable Diffusion 1D44365E",
            "Comment": '{"steps": 50, "sampler": "k_euler", "seed": 22, "scale": 10.0, "uc": "bad"}',
        },
        {
            "generator": "NovelAI",
            "prompt": "masterpiece,  cat, space",
            "negative_prompt": "bad",
            "model": "Stable Diffusion",
            "model_hash": "1D44365E",
            "cfg_scale": 10.0,
        },
    ),
    Sample(
        "Fooocus",
        {
            "fooocus_scheme": "fooocus",
            "parameters": as_json(
                {
                    "adm_guidance": "(1.5, 0.8, 0.3)",
                    "base_model": "juggernautXL_v8Rundiffusion",
                    "base_model_hash": "aeb7e9e689",
                    "full_prompt": ["cinematic still a smiling goldfish"],
                    "guidance_scale": 4,
                    "negative_prompt": "",
                    "performance": "Speed",
                    "prompt": "a smiling goldfish",
                    "resolution": "(1152, 896)",
                    "sampler": "dpmpp_2m_sde_gpu",
                    "scheduler": "karras",
                    "seed": "6952411511246973023",
                    "sharpness": 2,
                    "steps": 30,
                    "version": "Fooocus v2.4.3",
                }
            ),
        },
        {
            "generator": "Fooocus",
            "prompt": "a smiling goldfish",
            "negative_prompt": None,
            "seed": "6952411511246973023",
            "steps": 30,
            "cfg_scale": 4.0,
            "sampler": "dpmpp_2m_sde_gpu",
            "scheduler": "karras",
            "model": "juggernautXL_v8Rundiffusion",
            "model_hash": "aeb7e9e689",
            "width": 1152,
            "height": 896,
        },
        {"performance": "Speed", "sharpness": 2},
    ),
    Sample(
        "RuinedFooocus",
        {
            "parameters": as_json(
                {
                    "Prompt": "a tin robot",
                    "Negative": "rust",
                    "steps": 30,
                    "cfg": 8,
                    "width": 1152,
                    "height": 896,
                    "seed": 7,
                    "sampler_name": "dpmpp_2m",
                    "base_model_name": "sd_xl.safetensors",
                    "base_model_hash": "aa",
                    "software": "RuinedFooocus",
                }
            )
        },
        {
            "generator": "RuinedFooocus",
            "prompt": "a tin robot",
            "negative_prompt": "rust",
            "model": "sd_xl.safetensors",
        },
    ),
    Sample(
        "Easy Diffusion, a text for each setting",
        {
            "use_stable_diffusion_model": "C:\\Users\\ana\\models\\sd-v1-4.ckpt",
            "prompt": "a harbour, dusk",
            "negative_prompt": "people",
            "seed": "3394985804",
            "num_inference_steps": "25",
            "guidance_scale": "7.5",
            "sampler_name": "euler_a",
            "width": "512",
            "height": "704",
        },
        {
            "generator": "Easy Diffusion",
            "prompt": "a harbour, dusk",
            "negative_prompt": "people",
            "seed": "3394985804",
            "steps": 25,
            "cfg_scale": 7.5,
            "sampler": "euler_a",
            "model": "sd-v1-4.ckpt",
            "width": 512,
            "height": 704,
        },
    ),
    Sample(
        "Easy Diffusion in a user comment",
        {
            "exif:UserComment": as_json(
                {
                    "Prompt": "a harbour",
                    "Seed": 33,
                    "Stable Diffusion model": "sd-v1-4",
                    "Steps": 25,
                    "Guidance Scale": 7.5,
                    "Negative Prompt": "people",
                }
            )
        },
        {"generator": "Easy Diffusion", "prompt": "a harbour", "negative_prompt": "people"},
    ),
    Sample(
        "SwarmUI",
        {
            "parameters": as_json(
                {
                    "sui_image_params": {
                        "prompt": "a glass frog",
                        "negativeprompt": "cartoon",
                        "model": "Flux/flux1-dev-fp8",
                        "seed": 2042464333,
                        "steps": 25,
                        "cfgscale": 1.0,
                        "width": 512,
                        "height": 768,
                        "sampler": "euler",
                        "scheduler": "normal",
                        "swarm_version": "0.9.1.1",
                    },
                    "sui_extra_data": {"date": "2024-08-07"},
                }
            )
        },
        {
            "generator": "SwarmUI",
            "prompt": "a glass frog",
            "negative_prompt": "cartoon",
            "seed": "2042464333",
            "model": "flux1-dev-fp8",
            "cfg_scale": 1.0,
        },
        {"swarm_version": "0.9.1.1"},
    ),
    Sample(
        "Draw Things",
        {"xmp": DRAW_THINGS_XMP},
        {
            "generator": "Draw Things",
            "prompt": "a paper boat & rain",
            "negative_prompt": "dull",
            "seed": "4107441291",
            "steps": 30,
            "cfg_scale": 7.5,
            "sampler": "Euler A",
            "model": "sd_v1.5_f16.ckpt",
            "width": 512,
            "height": 768,
        },
    ),
    Sample(
        "Midjourney",
        {
            "Description": "paper dragon over lisbon -- at night --ar 16:9 --no text, people "
            "--seed 4 --v 6.1 Job ID: a7421d2f-b262-44f9-977c-ac23e9c7d3e3",
            "Author": "ana",
        },
        {
            "generator": "Midjourney",
            "prompt": "paper dragon over lisbon -- at night",
            "negative_prompt": "text, people",
            "seed": "4",
            "model": "Midjourney 6.1",
        },
        {"ar": "16:9"},
    ),
    Sample(
        "Civitai",
        {
            "exif:UserComment": as_json(
                {
                    "resource-stack": {"class_type": "CheckpointLoaderSimple", "inputs": {}},
                    "extraMetadata": as_json(
                        {"prompt": "a moth", "negativePrompt": "dust", "steps": 25, "cfgScale": 5}
                    ),
                }
            )
        },
        {"generator": "Civitai", "prompt": "a moth", "negative_prompt": "dust", "cfg_scale": 5.0},
    ),
    Sample(
        "TensorArt",
        {
            "generation_data": as_json(
                {
                    "prompt": "jade teapot",
                    "negativePrompt": "chips",
                    "seed": "981",
                    "steps": 25,
                    "cfgScale": 7,
                    "samplerName": "Euler a",
                    "baseModel": {"label": "DreamShaper", "hash": "4384"},
                }
            )
            + "\x00"
        },
        {
            "generator": "TensorArt",
            "prompt": "jade teapot",
            "model": "DreamShaper",
            "model_hash": "4384",
            "sampler": "Euler a",
        },
    ),
]
"""At least one for each program, as it writes them or very nearly so."""

NOT_GENERATED = [
    {
        "exif:ImageDescription": "OLYMPUS DIGITAL CAMERA",
        "exif:Make": "OLYMPUS",
        "exif:Model": "E-M5",
    },
    {"exif:UserComment": "Taken by Ana on the beach: Steps, sand, seed.", "comment": "Lavc59"},
    {"Description": "A lighthouse. --see also the other one", "Title": "Harbour", "Author": "Ana"},
    {"Comment": "Created with GIMP", "Software": "GIMP 2.10"},
    {"Comment": '{"prompt": "a note", "page": 3}'},
    {"prompt": "just words", "seed": "1"},
    {"xmp": "<x:xmpmeta xmlns:x='adobe:ns:meta/'><a>Steps: 3</a></x:xmpmeta>"},
    {"workflow": "{}", "prompt": '{"1": {"class_type": "LoadImage", "inputs": {"image": "a"}}}'},
    {},
]
"""What other programs write where generators write too."""


# Containers


def chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    """Return a PNG chunk; with `crc` one whose checksum is what it is told to be."""
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_with(*chunks: bytes, at_end: bool = False, seed: int = 1) -> bytes:
    """Return a PNG with further chunks behind its header, or in front of its end."""
    plain = picture(seed, "PNG")
    at = len(plain) - 12 if at_end else 8 + 25
    return plain[:at] + b"".join(chunks) + plain[at:]


def text_chunk(keyword: str, text: str | bytes, kind: str = "tEXt") -> bytes:
    """Return a text chunk of one of the three kinds; "iTXtz" is the packed form of the third."""
    raw = text.encode() if isinstance(text, str) else text
    head = keyword.encode("latin-1") + b"\0"
    body = {
        "tEXt": lambda: head + raw,
        "zTXt": lambda: head + b"\0" + zlib.compress(raw),
        "iTXt": lambda: head + b"\0\0en\0\0" + raw,
        "iTXtz": lambda: head + b"\1\0\0\0" + zlib.compress(raw),
    }[kind]()
    return chunk(kind[:4].encode(), body)


def png_by_pillow(texts: Mapping[str, str], seed: int = 1) -> bytes:
    """Return a PNG as web UIs save it: Pillow picks tEXt or iTXt by the letters."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        if keyword == "xmp":
            info.add_itxt("XML:com.adobe.xmp", text)
        else:
            info.add_text(keyword, text)
    out = io.BytesIO()
    pixels(seed).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def exif_block(
    tags: Mapping[int, bytes], *, order: str = ">", user_comment: bytes | None = None
) -> bytes:
    """Return an EXIF block by hand: texts in the first directory, the user comment in EXIF's own."""
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    count = len(tags) + (user_comment is not None)
    data_at = 8 + 2 + 12 * count + 4
    entries, data = [], b""
    for tag, raw in sorted(tags.items()):
        kind = 1 if tag >= 0x9C9B else 2
        entries.append((tag, kind, len(raw), raw))
    directory = b""
    for tag, kind, length, raw in entries:
        directory += struct.pack(order + "HHI", tag, kind, length)
        if length <= 4:
            directory += raw.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", data_at + len(data))
            data += raw
    if user_comment is not None:
        own_at = data_at + len(data)
        directory += struct.pack(order + "HHII", 0x8769, 4, 1, own_at)
        data += struct.pack(order + "HHHIII", 1, 0x9286, 7, len(user_comment), own_at + 18, 0)
        data += user_comment
    return b"Exif\0\0" + header + struct.pack(order + "H", count) + directory + b"\0" * 4 + data


def jpeg_with(*segments: tuple[int, bytes], seed: int = 1) -> bytes:
    """Return a JPEG with further segments, by marker (0xE1 for EXIF and XMP, 0xFE for a comment)."""
    plain = picture(seed, "JPEG")
    between = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments
    )
    return plain[:2] + between + plain[2:]


def jpeg_with_exif(block: bytes, seed: int = 1) -> bytes:
    """Return a JPEG with an EXIF block."""
    return jpeg_with((0xE1, block), seed=seed)


def webp_with(*, exif: bytes = b"", xmp: bytes = b"", seed: int = 1) -> bytes:
    """Return a WebP with EXIF and XMP."""
    out = io.BytesIO()
    pixels(seed).save(out, "WEBP", exif=exif, xmp=xmp)
    return out.getvalue()


def gif_with(comment: bytes, seed: int = 1) -> bytes:
    """Return a GIF with a comment."""
    out = io.BytesIO()
    pixels(seed).quantize(16).save(out, "GIF", comment=comment)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    """Return what Pillow makes of the bytes, completely read."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
