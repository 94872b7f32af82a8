"""The peer that runs the published code of stable targets, from the checkout that the command line names: its networks,
its augmentation and its loss, in float32 and contiguous, as it is shipped. This file only calls into it."""
import sys

sys.path.insert(0, sys.argv[1])

from training import augment, loss, networks  # noqa: E402

from serve import Peer, serve  # noqa: E402
from trainer import Trainer  # noqa: E402
from weights import load_safetensors  # noqa: E402

# What the published train.py passes for each --arch.
ARCHITECTURES = {
    "ddpmpp": {
        "model_type": "SongUNet",
        "embedding_type": "positional",
        "encoder_type": "standard",
        "decoder_type": "standard",
        "channel_mult_noise": 1,
        "resample_filter": [1, 1],
    },
    "ncsnpp": {
        "model_type": "SongUNet",
        "embedding_type": "fourier",
        "encoder_type": "residual",
        "decoder_type": "standard",
        "channel_mult_noise": 2,
        "resample_filter": [1, 3, 3, 1],
    },
    "adm": {"model_type": "DhariwalUNet"},
}


class Published(Peer):
    def network(self, config, weights, precision="fp32"):
        """Builds the network that the following commands are about; half precision is theirs to choose, and is float16."""
        self.forget()
        shape = config["shape"]
        denoiser = networks.EDMPrecond(
            img_resolution=shape["height"],
            img_channels=shape["channels"],
            label_dim=0,
            use_fp16=precision == "bf16",
            augment_dim=config["augmentDim"],
            model_channels=config["modelChannels"],
            channel_mult=config["channelMult"],
            num_blocks=config["numBlocks"],
            attn_resolutions=config["attnResolutions"],
            dropout=config["dropout"],
            **ARCHITECTURES[config["arch"]],
        )
        denoiser.to(self.device).load_state_dict(load_safetensors(weights))
        self.pipe = augment.AugmentPipe(p=0.12, xflip=1e8, yflip=1, scale=1, rotate_frac=1, aniso=1, translate_frac=1)
        self.loss = loss.EDMLoss()
        self.trainer = Trainer(denoiser, self.loss_of)

    def forget(self):
        self.trainer = None

    def loss_of(self, images, references):
        # The loss overwrites the first references with the augmented images.
        error = self.loss(
            net=self.trainer.denoiser,
            images=images,
            labels=None,
            augment_pipe=self.pipe,
            stf=references is not None,
            ref_images=references,
        )
        return error.sum() / len(images)

    def output(self, inputs):
        return self.trainer.output(inputs)

    def step(self, **sizes):
        return self.trainer.step(**sizes)


if __name__ == "__main__":
    serve(Published())
